//! What namespaces exist on the machine, whose they are and what keeps them alive.
//!
//! [`discover`] looks in every place that can hold a namespace, one file a source, and gathers a [`Snapshot`].
//! The rest explains it.

pub mod containers;
pub mod discover;
pub mod explain;
pub mod host;
pub mod model;
pub mod mounttree;
pub mod network;
pub mod pids;
pub mod proc;
pub mod users;

pub use discover::{Scope, discover};
pub use host::Host;
pub use model::{Gap, Keeper, Namespace, NetnsId, Process, Snapshot};
