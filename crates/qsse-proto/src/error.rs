//! [`DecodeError`]: why bytes could not be decoded.

use crate::code::Code;
use crate::counted::Counted;
use crate::frame::kind;
use crate::kind::KindError;
use qsse_topic::TopicError;

/// The bytes violate the protocol or exceed a limit.
///
/// It is final for its stream: a decoder that has returned one must not be used any more.
/// [`code`](DecodeError::code) is the code to close with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The length of a frame is over its limit (`QP-3.2`).
    #[error("frame of {}, over the limit of {}", Counted(*bytes, "byte"), Counted(*limit, "byte"))]
    FrameTooLarge {
        /// The value of the length field.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The frame has no kind (`QP-3.1`).
    #[error("frame without a kind: even an empty frame has one")]
    EmptyFrame,
    /// This version does not know the kind, and it is not in the range of extensions (`QP-3.5`).
    #[error("frame of unknown kind {kind:#04x}")]
    UnknownFrame {
        /// The kind.
        kind: u8,
    },
    /// The kind is known, but not allowed here.
    #[error("frame of kind {kind:#04x} is not allowed here")]
    UnexpectedFrame {
        /// The kind.
        kind: u8,
    },
    /// The frame ends inside a field.
    #[error("frame of kind {kind:#04x} ends too early, at byte {offset} of its body")]
    Truncated {
        /// The kind.
        kind: u8,
        /// The offset in the body at which bytes are missing.
        offset: usize,
    },
    /// The frame has bytes after its last field (`QP-3.4`).
    #[error("frame of kind {kind:#04x} has {} left over", Counted(*bytes, "byte"))]
    Leftover {
        /// The kind.
        kind: u8,
        /// How many bytes are left over.
        bytes: usize,
    },
    /// A field has a value that is not allowed.
    #[error("frame of kind {kind:#04x} is malformed: {what}")]
    Malformed {
        /// The kind.
        kind: u8,
        /// What is wrong.
        what: &'static str,
    },
    /// An event's topic is invalid.
    #[error("an event's topic is invalid")]
    Topic(#[from] TopicError),
    /// An event's kind is invalid.
    #[error("an event's kind is invalid")]
    Kind(#[from] KindError),
    /// An event's data is over the limit (`QP-6.7`).
    #[error("event of {}, over the limit of {}", Counted(*bytes, "byte"), Counted(*limit, "byte"))]
    EventTooLarge {
        /// The length that the frame states.
        bytes: u64,
        /// The limit.
        limit: usize,
    },
}

impl DecodeError {
    /// Returns the error for a frame of this kind in a place where it is not allowed (`QP-3.5`).
    pub(crate) const fn misplaced(kind: u8) -> Self {
        if kind::is_known(kind) {
            Self::UnexpectedFrame { kind }
        } else {
            Self::UnknownFrame { kind }
        }
    }

    /// Returns the code to close the connection with.
    pub const fn code(&self) -> Code {
        match self {
            Self::FrameTooLarge { .. } => Code::FRAME_TOO_LARGE,
            Self::EventTooLarge { .. } => Code::EVENT_TOO_LARGE,
            _ => Code::PROTOCOL_VIOLATION,
        }
    }
}
