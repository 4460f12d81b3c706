//! Why bytes could not be read.

use crate::code::Code;
use crate::counted::Counted;
use crate::frame::kind;
use crate::kind::KindError;
use qsse_topic::TopicError;

/// Bytes that the protocol does not allow, or that pass a limit.
///
/// It is final for the stream that it came on: a decoder that has given one must not be used any
/// further. [`code`](DecodeError::code) says what to close with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The length of a frame is over its limit (`QP-3.2`).
    #[error("frame of {}, over the limit of {}", Counted(*length, "byte"), Counted(*limit, "byte"))]
    FrameTooLarge {
        /// What the length field says.
        length: usize,
        /// What is allowed there.
        limit: usize,
    },
    /// A frame without a kind (`QP-3.1`).
    #[error("frame of no bytes: even an empty one has a kind")]
    EmptyFrame,
    /// A kind that this version does not know, outside the range of extensions (`QP-3.5`).
    #[error("frame of unknown kind {kind:#04x}")]
    UnknownFrame {
        /// The kind.
        kind: u8,
    },
    /// A kind that is known, but not allowed here.
    #[error("frame of kind {kind:#04x} where it must not be")]
    UnexpectedFrame {
        /// The kind.
        kind: u8,
    },
    /// A frame ends in the middle of what it should hold.
    #[error("frame of kind {kind:#04x} ends too early, at byte {offset} of its body")]
    Truncated {
        /// The kind.
        kind: u8,
        /// The byte of the body where something is missing.
        offset: usize,
    },
    /// A frame holds more than it should (`QP-3.4`).
    #[error("frame of kind {kind:#04x} has {} left over", Counted(*bytes, "byte"))]
    Leftover {
        /// The kind.
        kind: u8,
        /// How many.
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
    /// An event's topic is not one.
    #[error("an event has no valid topic")]
    Topic(#[from] TopicError),
    /// An event's kind is not one.
    #[error("an event has no valid kind")]
    Kind(#[from] KindError),
    /// An event's data is over the limit (`QP-6.7`).
    #[error("event of {}, over the limit of {}", Counted(*length, "byte"), Counted(*limit, "byte"))]
    EventTooLarge {
        /// How long it says it is.
        length: u64,
        /// What is allowed.
        limit: usize,
    },
}

impl DecodeError {
    /// A frame of that kind, where none such belongs (`QP-3.5`).
    pub(crate) const fn misplaced(kind: u8) -> Self {
        if kind::is_known(kind) {
            Self::UnexpectedFrame { kind }
        } else {
            Self::UnknownFrame { kind }
        }
    }

    /// What to close the connection with.
    pub const fn code(&self) -> Code {
        match self {
            Self::FrameTooLarge { .. } => Code::FRAME_TOO_LARGE,
            Self::EventTooLarge { .. } => Code::EVENT_TOO_LARGE,
            _ => Code::PROTOCOL_VIOLATION,
        }
    }
}
