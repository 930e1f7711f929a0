//! A visit of one process: its links, its threads, its descriptors.

use std::os::fd::BorrowedFd;

use super::links::{Answer, Reader};
use super::survey::{Scope, Survey};
use super::{descriptors, threads};
use crate::error::strerror;
use crate::inspect::model::Process;
use crate::namespace::Kind;

/// Visits processes, one after the other; of each everything at once, while what the kernel has to look up for it is at
/// hand.
pub(super) struct Visit {
    pub(super) wanted: Vec<Kind>,
    reader: Reader,
    threads: Option<threads::Look>,
    pub(super) descriptors: Option<descriptors::Look>,
}

impl Visit {
    pub(super) fn new(scope: &Scope) -> Visit {
        Visit {
            wanted: scope.kinds.iter().collect(),
            reader: Reader::new(),
            threads: scope.threads.then(threads::Look::new),
            descriptors: if scope.descriptors { descriptors::Look::new() } else { None },
        }
    }

    /// Visits a process, whose links are in the directory `ns`.
    pub(super) fn at(&mut self, survey: &mut Survey<'_>, pid: i32, ns: BorrowedFd<'_>) {
        let mut process = Process::new(pid);
        match self.reader.read(ns, &self.wanted, &mut survey.snapshot) {
            Answer::Gone => return,
            Answer::Refused(errno) => survey.snapshot.gap_of(pid, "processes", strerror(errno)),
            Answer::Read(found) => {
                for kind in Kind::ALL {
                    if let Some(index) = found[kind as usize] {
                        process.set_namespace(kind, index);
                    }
                }
            }
        }
        survey.snapshot.add(process);
        if !process.is_opaque() {
            if let Some(threads) = &mut self.threads {
                threads.at(survey, &process, &self.wanted);
            }
            if survey.scope.for_children {
                threads::for_children(survey, &process, ns);
            }
        }
        if let Some(descriptors) = &mut self.descriptors {
            descriptors.at(survey, &process);
        }
    }
}
