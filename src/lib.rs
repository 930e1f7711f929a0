//! The library behind the `nskit` binary: Linux namespaces, mounts, cgroups and seccomp, and on top of them an OCI
//! runtime and an inspector.
//!
//! | module | holds | may use |
//! |---|---|---|
//! | [`error`] | what was attempted, on what, and why it failed | |
//! | [`sys`] | the only `unsafe` code: system calls that nix and rustix lack | `error` |
//! | [`namespace`] | the eight kinds, references to namespaces, id maps, the order in which to enter | `sys` |
//! | `netlink` | what the kernel tells of and does to links, addresses and sockets | `namespace`, `sys` |
//! | [`protobuf`] | the wire format of Protocol Buffers | |
//! | [`mount`] | mount options, mounting through file descriptors, the root of a container | `sys` |
//! | [`cgroup`] | control groups: v1, hybrid and v2 | `sys` |
//! | [`seccomp`] | filters compiled from names and rules | `sys` |
//! | [`lsm`] | AppArmor and SELinux labels of processes | `error` |
//! | [`launch`] | the one way to start or enter namespaces | all above |
//! | [`container`] | the OCI runtime's verbs; the only reader of oci-spec types | all above |
//! | [`shim`] | containerd's shim: the Task service of one pod, which calls the runtime's verbs | all above |
//! | [`inspect`] | what namespaces exist, whose they are and who keeps them | `namespace`, `netlink`, `sys` |
//!
//! Linux 5.12 or newer is needed (`mount_setattr`); what needs more says so.
#![deny(unsafe_code)]

pub mod cgroup;
pub mod container;
pub mod error;
pub mod inspect;
pub mod launch;
pub mod lsm;
pub mod mount;
pub mod namespace;
mod netlink;
pub mod protobuf;
pub mod resctrl;
pub mod seccomp;
pub mod shim;
pub mod sys;

pub use error::{Error, Result};
