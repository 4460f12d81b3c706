//! The codes with which HTTP/3 and WebTransport end streams and connections.

use qsse_proto::Code;

/// There is nothing wrong.
pub(super) const NO_ERROR: Code = Code::new(0x100);
/// The server cannot go on with the request.
pub(super) const INTERNAL_ERROR: Code = Code::new(0x102);
/// A frame is where it may not be.
pub(super) const FRAME_UNEXPECTED: Code = Code::new(0x105);
/// A frame is not whole.
pub(super) const FRAME_ERROR: Code = Code::new(0x106);
/// The peer sends what costs too much.
pub(super) const EXCESSIVE_LOAD: Code = Code::new(0x107);
/// An id is not one of its kind.
pub(super) const ID_ERROR: Code = Code::new(0x108);
/// The request was not looked at.
pub(super) const REQUEST_REJECTED: Code = Code::new(0x10b);
/// The request or its answer is no longer wanted.
pub(super) const REQUEST_CANCELLED: Code = Code::new(0x10c);
/// The request ended before it was one.
pub(super) const REQUEST_INCOMPLETE: Code = Code::new(0x10d);
/// A stream of WebTransport came too early, after too many others.
pub(super) const STREAM_REJECTED: Code = Code::new(0x3994_bd84);
/// A stream of WebTransport is of no session that is open.
pub(super) const SESSION_GONE: Code = Code::new(0x170d_7b68);
