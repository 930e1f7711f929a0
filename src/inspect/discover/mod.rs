//! Looks in every place that can hold a namespace: one file a source.
//!
//! | source | finds | cost |
//! |---|---|---|
//! | [`processes`] | what processes are in | nine system calls a process |
//! | [`threads`] | what single threads moved to, and where children will be born | one and two a process, 10 a thread beyond the first |
//! | [`descriptors`] | what is open, and (with [`sockets`]) where sockets came from | one a process and one a descriptor, where these are few: kcmp(2), for files shared with the process before |
//! | [`bulk`] | what these three find, where there are many processes and the kernel may be asked for all at once | two milliseconds, and half a system call a process |
//! | [`mounts`] | what is bound to a file, in every mount namespace | three a mount namespace |
//! | [`relations`] | parents and owners, up to the root | six a namespace |
//! | [`lists`] | the kernel's own lists: mount namespaces (Linux 6.12), all (6.19) | three a namespace |
//!
//! [`discover()`] chooses between the first three and [`bulk`], which fills the same [`Snapshot`] with the same.
//!
//! Everything can go away while it is looked at. What is gone is left out; what may not be looked at is told as a
//! [`Gap`](super::model::Gap).

mod bulk;
mod descriptors;
mod links;
mod lists;
mod mounts;
mod netnsid;
mod processes;
mod relations;
mod sockets;
mod survey;
mod threads;
mod visit;

pub use survey::{Mounts, Scope};

use super::model::Snapshot;
use super::proc;
use crate::error::Result;
use survey::Survey;

/// Looks at the machine.
///
/// # Errors
/// Where `/proc` cannot be opened or read. A process that went away, or may not be looked at, is no error.
pub fn discover(scope: &Scope) -> Result<Snapshot> {
    let proc = proc::open()?;
    let netnsid = if scope.netnsids { netnsid::Query::open().ok() } else { None };
    let mut survey = Survey { scope, proc, snapshot: Snapshot::default(), netnsid };
    survey.snapshot.at_once = bulk::survey(&mut survey);
    if !survey.snapshot.at_once {
        processes::survey(&mut survey)?;
    }
    survey.snapshot.arrange();
    mounts::survey(&mut survey);
    if scope.lists {
        lists::survey(&mut survey);
    }
    relations::survey(&mut survey);
    survey.snapshot.arrange();
    Ok(survey.snapshot)
}
