//! Standard output, where nobody may be reading any more.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// Writes the text and returns the status. A reader that went away has seen enough: that is no failure.
pub(crate) fn write(text: &str, status: ExitCode) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => status,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => status,
        Err(error) => {
            eprintln!("ns-inspect: write to standard output: {}", nskit::Error::io(&error, "write"));
            ExitCode::FAILURE
        }
    }
}
