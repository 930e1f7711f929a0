//! What containerd sends the shim: frames of ttrpc, and the requests in them.

use nskit::shim::frame::{self, Frame};
use nskit::shim::message::{Any, Create, Exec, Named};

/// Frames are taken one after the other, none longer than what came; what one of them asks for is read as any request.
pub fn check(mut data: &[u8]) {
    while let Ok(Some((frame, length))) = frame::next(data) {
        assert!(length > 0 && length <= data.len());
        if let Frame::Request(request) = frame {
            requested(request.payload);
        }
        data = &data[length..];
    }
    requested(data);
}

fn requested(payload: &[u8]) {
    let _ = Create::read(payload);
    let _ = Any::read(payload);
    if let Ok(named) = Named::read(payload, true) {
        let _ = Exec::read(&named);
    }
}
