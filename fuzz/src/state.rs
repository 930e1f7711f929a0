//! A container's `state.json`.

use nskit::container::record::life::Status;
use nskit::container::record::state::State;

/// What is read and written again is the same.
pub fn check(data: &[u8]) {
    let Ok(state) = serde_json::from_slice::<State>(data) else { return };
    let written = serde_json::to_vec(&state).expect("a state of ours");
    let again: State = serde_json::from_slice(&written).expect("what we wrote");
    assert_eq!(serde_json::to_vec(&again).expect("a state of ours"), written);
    let reported = state.reported(Status::Stopped);
    assert_eq!(reported.pid, 0);
    let _ = state.has_own_pids();
}
