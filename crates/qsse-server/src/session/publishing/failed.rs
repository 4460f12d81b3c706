//! [`Failed`]: why a publishing stream ended early.

use qsse_proto::DecodeError;
use qsse_proto::frame::kind;
use qsse_transport::FrameError;

/// Why a publishing stream ended early.
pub(super) enum Failed {
    Frame(FrameError),
    Gone,
    /// The store has ended, and which events it has stored is unknown.
    InDoubt,
    /// A frame did not arrive completely in time.
    Late,
}

impl From<DecodeError> for Failed {
    fn from(error: DecodeError) -> Self {
        Self::Frame(FrameError::Decode(error))
    }
}

pub(super) fn malformed(what: &'static str) -> Failed {
    let kind = kind::OPEN_PUBLISHER;
    DecodeError::Malformed { kind, what }.into()
}

pub(super) fn misplaced(kind: u8) -> Failed {
    DecodeError::UnexpectedFrame { kind }.into()
}
