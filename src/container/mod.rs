//! The OCI runtime, the only reader of oci-spec types, in rooms on one floor each: `verbs` imports from `criu`, that from
//! `steps`, that from `spec`, that from `record`, and none the other way.

pub mod criu;
pub mod record;
pub mod spec;
pub mod steps;
pub mod verbs;
