//! What holds for every verb: where state is kept, which cgroup driver, and what the caller may do.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use rustix::thread::CapabilitySet;

use crate::cgroup::systemd::address::owns_system_manager;
use crate::error::{Error, Result};
use crate::sys::userns;

/// Who makes and limits cgroups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupDriver {
    /// This runtime, through the cgroup file systems.
    #[default]
    Cgroupfs,
    /// systemd, asked over D-Bus.
    Systemd,
    /// Nobody: the container stays in the caller's cgroup.
    Disabled,
}

/// The global options.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// The folder of all containers' folders.
    pub root: PathBuf,
    /// Whether the caller has said where that is.
    pub has_given_root: bool,
    /// Who makes cgroups.
    pub cgroups: CgroupDriver,
    /// Whether the caller has said that a cgroup that may not be made is done without.
    rootless: Option<bool>,
    is_root: bool,
    /// Looked up when it is first asked.
    in_user_namespace: OnceCell<bool>,
    privileged: bool,
}

impl Runtime {
    /// `root` and `rootless` as given, else as the caller's privileges suggest.
    ///
    /// # Errors
    /// When the capabilities of this process cannot be read.
    pub fn new(root: Option<PathBuf>, cgroups: CgroupDriver, rootless: Option<bool>) -> Result<Runtime> {
        let sets = rustix::thread::capabilities(None).map_err(|errno| Error::os(errno, "read own capabilities"))?;
        let is_root = rustix::process::geteuid().is_root();
        Ok(Runtime {
            has_given_root: root.is_some(),
            root: root.unwrap_or_else(|| default_root(is_root)),
            cgroups,
            rootless,
            is_root,
            in_user_namespace: OnceCell::new(),
            privileged: sets.effective.contains(CapabilitySet::SYS_ADMIN),
        })
    }

    /// Whether a cgroup that may not be made is done without, and the systemd that is asked for one is the calling user's:
    /// as the caller says, else as its privileges suggest.
    pub fn rootless(&self) -> bool {
        self.rootless.unwrap_or_else(|| {
            let may_not = !self.is_root || self.is_in_user_namespace();
            may_not && !(self.cgroups == CgroupDriver::Systemd && self.is_root && owns_system_manager())
        })
    }

    /// Whether this process is in a user namespace other than the first.
    pub fn is_in_user_namespace(&self) -> bool {
        *self.in_user_namespace.get_or_init(userns::is_in_another)
    }

    /// Whether this process has `CAP_SYS_ADMIN` in its user namespace.
    pub fn privileged(&self) -> bool {
        self.privileged
    }
}

/// Where state is kept when nobody says: /run/nskit, for users without privilege in their own runtime folder.
pub fn default_root(is_root: bool) -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) if !folder.is_empty() && (!is_root || userns::is_in_another()) => Path::new(&folder).join("nskit"),
        _ => PathBuf::from("/run/nskit"),
    }
}
