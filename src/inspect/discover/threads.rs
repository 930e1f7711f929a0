//! Namespaces that single threads moved to: unshare(2) and setns(2) act on the calling thread, and a program can leave
//! one behind that nothing but that thread shows.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::super::model::Keeper;
use super::Survey;
use super::processes::{Answer, ProcPath, Reader, for_each_number, inode_of};
use crate::namespace::Kind;

/// Looks at the threads of every process that has more than one.
pub(super) fn survey(survey: &mut Survey<'_>) {
    let wanted: Vec<Kind> = survey.scope.kinds.iter().collect();
    let mut reader = Reader::new();
    let mut tids = Vec::new();
    for number in 0..survey.snapshot.processes.len() {
        let process = survey.snapshot.processes[number];
        if process.is_opaque() {
            continue;
        }
        let path = ProcPath::new(process.pid).text("/task");
        // A directory has two links and one more for each directory in it: here, for each thread.
        let several = rustix::fs::statat(survey.proc(), path.as_c_str(), AtFlags::empty())
            .is_ok_and(|status| status.st_nlink > 3);
        if !several {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(directory) = rustix::fs::openat(survey.proc(), path.as_c_str(), flags, Mode::empty()) else { continue };
        tids.clear();
        // A process that ends while it is read has no threads left to tell of.
        let _ = for_each_number(&directory, |tid| tids.push(tid));
        for &tid in tids.iter().filter(|&&tid| tid != process.pid) {
            let path = ProcPath::new(tid).text("/ns");
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let Ok(ns) = rustix::fs::openat(&directory, path.as_c_str(), flags, Mode::empty()) else { continue };
            let Answer::Read(found) = reader.read(ns.as_fd(), &wanted, &mut survey.snapshot) else { continue };
            for &kind in &wanted {
                if let Some(index) = found[kind as usize]
                    && process.namespace(kind) != Some(index)
                {
                    survey.snapshot.keep(index, Keeper::Thread { pid: process.pid, tid });
                }
            }
        }
    }
}

/// Looks where the children of every process will be born.
pub(super) fn survey_for_children(survey: &mut Survey<'_>) {
    for number in 0..survey.snapshot.processes.len() {
        if !survey.snapshot.processes[number].is_opaque() {
            for_children(survey, number);
        }
    }
}

/// Where the process's children will be born: unshare(2) and setns(2) with a pid or time namespace change only that.
fn for_children(survey: &mut Survey<'_>, number: usize) {
    let process = survey.snapshot.processes[number];
    for kind in [Kind::Pid, Kind::Time].into_iter().filter(|&kind| survey.scope.kinds.contains(kind)) {
        let path = ProcPath::new(process.pid).text("/ns/").text(kind.proc_name_for_children());
        let mut space = [MaybeUninit::<u8>::uninit(); 32];
        let Ok((link, _)) = rustix::fs::readlinkat_raw(survey.proc(), path.as_c_str(), &mut space) else { continue };
        let Some(inode) = inode_of(link) else { continue };
        let own = process.namespace(kind).map(|index| survey.snapshot.namespaces[index].inode);
        if own != Some(inode) {
            let (index, _) = survey.snapshot.enter(kind, inode);
            survey.snapshot.keep(index, Keeper::ForChildren { pid: process.pid });
        }
    }
}
