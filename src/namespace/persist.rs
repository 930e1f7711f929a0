//! Namespaces that outlive their processes: bound to a file, which keeps them until it is unmounted.

use std::path::Path;

use nix::mount::{MsFlags, mount};
use rustix::process::Pid;

use super::Kind;
use crate::error::{Attempt, Result};

/// Binds the `kind` namespace of process `pid` to `file`, which must exist; of pid and time namespaces the one that the
/// process's children get, which exists only when it has had a child.
///
/// # Errors
/// `ENOENT` when the file or the process is not there, `EINVAL` for a mount namespace when `file` is on a shared mount
/// (the namespace would hold itself), `EPERM` without privilege over the caller's mount namespace.
pub fn bind(pid: Pid, kind: Kind, file: &Path) -> Result<()> {
    let source = format!("/proc/{}/ns/{}", pid.as_raw_nonzero(), kind.proc_name_for_children());
    mount(Some(source.as_str()), file, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .attempt(|| format!("mount {source} on {} failed", file.display()))
}
