//! The OCI runtime: one file a verb. The only reader of oci-spec types.
pub mod resources;
