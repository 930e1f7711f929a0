//! Mount options, mounting through file descriptors, and the root of a container.

pub mod apply;
pub mod options;
pub mod path;
pub mod rootfs;

pub use options::{Options, Propagation};
