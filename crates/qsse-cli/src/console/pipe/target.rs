//! The target of a pipe's thread, written in pieces that a system's pipe accepts atomically.

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

/// The bytes to write at once. A pipe accepts this much completely or not at all, so it is known
/// what was written even if the pipe is stuck.
pub(super) const PIECE_BYTES: usize = 4096;
/// How soon to retry an output that another process has made non-blocking.
const AGAIN: Duration = Duration::from_millis(5);

/// Standard output, without the standard library's lock and buffer.
pub(in crate::console) fn standard_output() -> Box<dyn Write + Send> {
    unbuffered(io::stdout())
}

/// Standard error, without the standard library's lock.
pub(in crate::console) fn standard_error() -> Box<dyn Write + Send> {
    unbuffered(io::stderr())
}

#[cfg(unix)]
fn unbuffered(output: impl std::os::fd::AsFd + Write + Send + 'static) -> Box<dyn Write + Send> {
    match output.as_fd().try_clone_to_owned() {
        Ok(owned) => Box::new(std::fs::File::from(owned)),
        Err(_) => Box::new(output),
    }
}

#[cfg(not(unix))]
fn unbuffered(output: impl Write + Send + 'static) -> Box<dyn Write + Send> {
    Box::new(output)
}

/// Makes one write, and repeats it until something was written.
pub(super) fn write(target: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match target.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => return Ok(len),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(AGAIN),
            Err(error) => return Err(error),
        }
    }
}

/// Returns the part of `bytes` to write at once, up to the end of a line if there is one.
pub(super) fn piece(bytes: &[u8]) -> &[u8] {
    if bytes.len() <= PIECE_BYTES {
        return bytes;
    }
    let piece = &bytes[..PIECE_BYTES];
    match piece.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => &piece[..=end],
        None => piece,
    }
}
