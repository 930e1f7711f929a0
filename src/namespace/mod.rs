//! Namespaces: the eight kinds, references to namespaces, id maps, and the order in which to enter.

mod ahead;
pub mod idmap;
mod kind;
pub mod persist;
mod plan;
pub mod subid;
mod target;

pub use ahead::{Ahead, loopback_up};
pub use kind::{Kind, Kinds};
pub use plan::{Plan, Step, in_place, plan};
pub use target::{Target, TimeOffsets, describe, enter, is_shared_with, open_without_waiting};
