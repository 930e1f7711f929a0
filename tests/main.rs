//! The integration tests: everything is asked of the built binary, as users and engines do.
//!
//! They need root, run in parallel, and clean up after themselves. `harness` says which environment variables steer
//! them; with `NSKIT_RUNTIME=/usr/sbin/runc` the runtime's tests show what runc does.

mod applets;
mod differential;
mod engines;
#[cfg(target_arch = "x86_64")]
mod faults;
mod fuzz;
mod harness;
mod races;
mod runtime;
mod shim;
