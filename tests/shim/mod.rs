//! containerd's shim, asked by a client of our own: the Task service, events, and what is left after deaths.

mod deaths;
mod life;
mod streams;

use crate::harness::{Peer, peer};

/// Whether another runtime is under test, which has no such shim.
pub(crate) fn is_of_another() -> bool {
    peer() != Peer::Ours
}

/// Leaves the test when the shim is not what is tested.
macro_rules! needs_our_shim {
    () => {
        if crate::shim::is_of_another() {
            crate::harness::skip!("the shim is nskit's own");
        }
    };
}

pub(crate) use needs_our_shim;
