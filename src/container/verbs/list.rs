//! `list` and `state`: what containers there are, and what they are doing.

use rustix::io::Errno;

use crate::container::record::folder::Folder;
use crate::container::record::instance::Container;
use crate::container::record::runtime::Runtime;
use crate::container::record::state::Reported;
use crate::error::{Attempt, Kind, Result};

/// The state of the container `id`.
///
/// # Errors
/// When it is not there.
pub fn state(runtime: &Runtime, id: &str) -> Result<Reported> {
    let container = Container::load(runtime, id)?;
    let status = container.status()?;
    Ok(container.state.listed(status))
}

/// The state of all containers, by id. What goes away while they are read is left out.
///
/// # Errors
/// When the folder of states cannot be read; that there is none means that there are no containers.
pub fn list(runtime: &Runtime) -> Result<Vec<Reported>> {
    let entries = match crate::sys::folder::entries(&runtime.root) {
        // Nobody has had a container yet; but who names a folder means one that is there (as runc).
        Err(Errno::NOENT) if !runtime.has_given_root => return Ok(Vec::new()),
        other => other.attempt(|| format!("read {}", runtime.root.display()))?,
    };
    let mut ids: Vec<String> = entries.into_iter().filter_map(|(name, _)| name.into_string().ok()).collect();
    // What has no name of a container is none.
    ids.retain(|id| Folder::of(&runtime.root, id).is_ok());
    ids.sort();
    let mut states = Vec::new();
    for id in ids {
        match state(runtime, &id) {
            Ok(state) => states.push(state),
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => log::warn!("load container {id}: {}", error.as_go_prints_it()),
        }
    }
    Ok(states)
}
