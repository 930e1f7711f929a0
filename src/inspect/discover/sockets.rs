//! Network namespaces that a socket came from: a socket stays in the namespace that it was made in, wherever its
//! process goes and whoever it is passed to.

use std::os::fd::AsFd;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::relations;
use super::survey::Survey;
use crate::error::strerror;
use crate::inspect::model::{Keeper, Process};
use crate::namespace::Kind;
use crate::sys::ioctl;

/// Looks where socket `fd` of the process came from.
pub(super) fn look(survey: &mut Survey<'_>, process: &Process, fd: i32) {
    if !survey.scope.kinds.contains(Kind::Net) {
        return;
    }
    // The socket that is asked through is the caller's own, and no finding.
    let is_query = survey.netnsid.as_ref().is_some_and(|query| query.number() == fd);
    if is_query && process.pid == std::process::id() as i32 {
        return;
    }
    let Some(pid) = Pid::from_raw(process.pid) else { return };
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let asked = pidfd_getfd(&pidfd, fd, PidfdGetfdFlags::empty()).and_then(ioctl::socket_namespace);
    let ns = match asked {
        Ok(ns) => ns,
        Err(rustix::io::Errno::SRCH | rustix::io::Errno::BADF) => return,
        Err(errno) => return survey.snapshot.gap("sockets", strerror(errno)),
    };
    let Ok(status) = rustix::fs::fstat(&ns) else { return };
    let (index, _) = survey.snapshot.enter(Kind::Net, status.st_ino);
    if process.namespace(Kind::Net) != Some(index) {
        survey.snapshot.keep(index, Keeper::Socket { pid: process.pid, fd });
        relations::relate(survey, index, ns.as_fd());
    }
}
