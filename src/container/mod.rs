//! The OCI runtime: one file a verb. The only reader of oci-spec types.

pub mod cgroups;
pub mod container;
pub mod create;
pub mod delete;
pub mod exec;
pub mod hooks;
pub mod idmaps;
pub mod init;
pub mod kill;
pub mod list;
pub mod network;
pub mod notify;
pub mod pause;
pub mod process;
pub mod resources;
pub mod rootfs;
pub mod run;
pub mod runtime;
pub mod seccomp;
pub mod spec;
pub mod start;
pub mod state;
pub mod wait;
