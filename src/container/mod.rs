//! The OCI runtime: one file a verb. The only reader of oci-spec types.

pub mod hooks;
pub mod init;
pub mod process;
pub mod rootfs;
pub mod spec;
pub mod state;
