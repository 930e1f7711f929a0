//! Ids, groups and capabilities of the process itself, in util-linux's order and words.

use nskit::Result;
use nskit::error::Attempt;
use rustix::fs::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Drops all supplementary groups.
///
/// # Errors
/// `EPERM` without privilege, or where the user namespace denies setgroups(2).
pub(crate) fn drop_groups() -> Result<()> {
    rustix::thread::set_thread_groups(&[]).attempt(|| "setgroups failed")
}

/// Changes to a group: real, effective and saved for the privileged, as setgid(2) does.
///
/// # Errors
/// `EPERM` without privilege, `EINVAL` for an id that the user namespace does not map.
pub(crate) fn set_group(gid: u32) -> Result<()> {
    rustix::thread::set_thread_gid(Gid::from_raw(gid)).attempt(|| "setgid() failed")
}

/// Changes to a user: real, effective and saved for the privileged, as setuid(2) does.
///
/// # Errors
/// As [`set_group`].
pub(crate) fn set_user(uid: u32) -> Result<()> {
    rustix::thread::set_thread_uid(Uid::from_raw(uid)).attempt(|| "setuid() failed")
}

/// Has every permitted capability survive execve(2), as inheritable and ambient, but for those of the set `dropped`: what
/// the bounding set lacks can be neither.
///
/// # Errors
/// As capset(2) and prctl(2).
pub(crate) fn keep_capabilities(dropped: u64) -> Result<()> {
    let sets = rustix::thread::capabilities(None).attempt(|| "capget failed")?;
    let kept = |set: CapabilitySet| CapabilitySet::from_bits_retain(set.bits() & !dropped);
    let inheritable = CapabilitySets { inheritable: kept(sets.permitted), ..sets };
    rustix::thread::set_capabilities(None, inheritable).attempt(|| "capset failed")?;
    for number in (0..64).filter(|number| kept(sets.effective).bits() & (1 << number) != 0) {
        rustix::thread::configure_capability_in_ambient_set(CapabilitySet::from_bits_retain(1 << number), true)
            .attempt(|| "prctl(PR_CAP_AMBIENT) failed")?;
    }
    Ok(())
}
