//! Namespaces: the eight kinds, references to namespaces, id maps, and the order in which to enter.

mod kind;

pub use kind::{Kind, Kinds};
