//! What namespaces exist on the machine, whose they are and what keeps them alive.
//!
//! [`discover`] looks in every place that can hold a namespace, one file a source, and gathers a [`Snapshot`].
//! The rest explains it.

pub mod discover;
pub mod model;

pub use discover::{Scope, discover};
pub use model::{Gap, Keeper, Namespace, NetnsId, Process, Snapshot};
