//! Keeps this program's own file out of containers' reach (CVE-2019-5736): a process that enters a container has
//! `/proc/PID/exe`, which root in there could open for writing.
//!
//! The image is executed once more from a read-only mount of itself that is mounted nowhere, or where mounts may not be
//! cloned, from a sealed copy in memory. On x86-64 nskit::sys::early has mostly done so before: what is here decides.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use crate::dispatch::{Choice, choose};
use anyhow::Context;
use nskit::mount::apply;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};

const SELF: &str = "/proc/self/exe";

/// Makes sure that this process's image cannot be written through it, by executing it again if need be, as the applet `own`.
///
/// # Errors
/// When neither a mount nor a copy can be made.
pub(crate) fn own_image(own: &crate::Applet) -> anyhow::Result<()> {
    // Nobody can tell us by a variable of the environment that it is so.
    if is_on_read_only_mount() {
        return Ok(());
    }
    let image = match read_only_mount() {
        Some(image) => image,
        // The copy is on no mount that could be cloned, so this is where it comes to when it is executed.
        None if is_sealed() => return Ok(()),
        None if !std::path::Path::new("/proc/self").exists() => {
            anyhow::bail!("protect this program's own file: /proc is not mounted")
        }
        None => sealed_copy().context("make a sealed copy of this program")?,
    };
    let mut args: Vec<OsString> = std::env::args_os().collect();
    // The path that was executed is lost over this: where nothing else says which applet it is, its name does.
    if !matches!(choose(None, &args), Choice::Called(applet) | Choice::Named(applet) if applet.name == own.name)
        && let Some(name) = args.first_mut()
    {
        *name = own.link().into();
    }
    let args: Vec<CString> = args
        .into_iter()
        .map(|arg| CString::new(arg.into_vec()))
        .collect::<Result<_, _>>()
        .context("read own arguments")?;
    let env: Vec<CString> = std::env::vars_os()
        .map(|(name, value)| CString::new([name.into_vec(), b"=".to_vec(), value.into_vec()].concat()))
        .collect::<Result<_, _>>()
        .context("read own environment")?;
    let errno = crate::exec::become_descriptor(image.as_fd(), &args, &env);
    Err(errno).context("execute a protected copy of this program")
}

fn is_on_read_only_mount() -> bool {
    rustix::fs::statvfs(SELF).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn is_sealed() -> bool {
    let image = rustix::fs::open(SELF, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    image.is_ok_and(|image| {
        rustix::fs::fcntl_get_seals(&image).is_ok_and(|seals| seals.contains(SealFlags::WRITE | SealFlags::SEAL))
    })
}

fn read_only_mount() -> Option<OwnedFd> {
    let image = apply::clone_tree(rustix::fs::CWD, SELF.as_ref(), false, true).ok()?;
    apply::set_read_only(image.as_fd(), false).ok()?;
    Some(image)
}

fn sealed_copy() -> anyhow::Result<OwnedFd> {
    let mut source = std::fs::File::open(SELF)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels from 6.3 on want to know that it will be executed; older ones do not know the flag.
    let copy = rustix::fs::memfd_create("nskit", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("nskit", flags))?;
    let mut copy = std::fs::File::from(copy);
    std::io::copy(&mut source, &mut copy)?;
    rustix::fs::fcntl_add_seals(&copy, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    // Executed through a descriptor that cannot write.
    Ok(rustix::fs::open(
        format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&copy)),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}
