//! `pause`, `resume` and `ps`: what is done by way of the cgroup.

use rustix::process::Pid;

use crate::container::record::instance::Container;
use crate::container::record::life::Verb;
use crate::container::record::runtime::Runtime;
use crate::container::steps::processes;
use crate::error::Result;

/// Stops every process of the container `id`, without their noticing.
///
/// # Errors
/// When it is neither created nor running, or has no freezer.
pub fn pause(runtime: &Runtime, id: &str) -> Result<()> {
    let container = Container::load(runtime, id)?;
    container.admit(Verb::Pause)?;
    processes::must_be_in_its_cgroup(&container, "it cannot be paused")?;
    container.cgroup()?.freeze().map_err(|error| container.outlived(Verb::Pause, error))
}

/// Lets the processes of the container `id` go on.
///
/// # Errors
/// When it is not paused.
pub fn resume(runtime: &Runtime, id: &str) -> Result<()> {
    let container = Container::load(runtime, id)?;
    container.admit(Verb::Resume)?;
    container.cgroup()?.thaw().map_err(|error| container.outlived(Verb::Resume, error))
}

/// The processes of the container `id`, in the runtime's pid namespace.
///
/// # Errors
/// As [`processes::list`], and when it is not there.
pub fn processes(runtime: &Runtime, id: &str) -> Result<Vec<Pid>> {
    let container = Container::load(runtime, id)?;
    container.admit(Verb::ListProcesses)?;
    container.must_have_cgroup("its processes cannot be listed")?;
    processes::list(&container)
}
