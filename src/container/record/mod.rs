//! What is kept of a container on disk, and what that says of it.

pub mod folder;
pub mod gate;
pub mod instance;
pub mod life;
pub(crate) mod process;
pub mod runtime;
pub mod state;
