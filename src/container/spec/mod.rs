//! What config.json asks for: read, checked, planned. Nothing is done here.

pub mod bundle;
pub mod config;
pub mod delegation;
pub mod example;
pub mod features;
pub mod hooks;
pub mod idmaps;
pub mod network;
pub(crate) mod outline;
pub mod parse;
pub mod process;
pub mod properties;
pub mod resources;
pub mod rootfs;
pub mod scheduling;
pub mod seccomp;
pub mod strict;
pub mod validate;
