//! What each fuzz target does with its bytes, and what must hold then. The targets in `targets/` hand it what libFuzzer
//! makes; `tests/fuzz` of the project hands it every seed.

pub mod config;
pub mod dbus;
pub mod exec;
pub mod filter;
pub mod mountinfo;
pub mod netlink;
pub mod protobuf;
pub mod seccomp;
pub mod shim;
pub mod state;
pub mod update;

/// What a target is called, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 12] = [
    ("config", config::check),
    ("dbus", dbus::check),
    ("exec", exec::check),
    ("filter", filter::check),
    ("mountinfo", mountinfo::check),
    ("netlink", netlink::check),
    ("protobuf", protobuf::check),
    ("seccomp", seccomp::check),
    ("seccomp_libseccomp", seccomp::check_with_libseccomp),
    ("shim", shim::check),
    ("state", state::check),
    ("update", update::check),
];

/// A refusal says something. What a terminal would obey in it, whoever prints it escapes.
fn is_clear(error: &nskit::Error) {
    assert!(!error.to_string().is_empty());
}
