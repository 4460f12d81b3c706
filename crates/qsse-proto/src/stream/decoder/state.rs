//! [`State`]: the state of a decoder.

use crate::error::DecodeError;
use crate::frame::kind;
use crate::limits::STREAM_FRAME_BYTES;

/// What a decoder reads next; see the diagram of [`Decoder`](super::Decoder).
#[derive(Debug)]
pub(super) enum State {
    /// The header of a frame.
    Frame,
    /// The body of a frame other than a batch, of this kind.
    Small(u8),
    /// The body of an extension, which is skipped.
    Skip,
    /// What precedes the events of a batch.
    Preamble,
    /// The head of an event.
    Events,
    /// The data of an event that straddles chunks, which has this many bytes.
    Data(usize),
    /// Nothing: the stream is invalid.
    Failed(Box<DecodeError>),
}

impl State {
    /// Returns the state that reads the body of a frame. `started` tells whether the header has
    /// arrived.
    pub(super) fn of_frame(kind: u8, length: usize, started: bool) -> Result<Self, DecodeError> {
        match kind {
            // QP-3.5
            _ if kind::is_extension(kind) => Ok(Self::Skip),
            // QP-5.6: the header comes first and once.
            kind::STREAM_HEADER | kind::BATCH | kind::GAP | kind::HEARTBEAT | kind::EPOCH
                if (kind == kind::STREAM_HEADER) == started =>
            {
                Err(DecodeError::UnexpectedFrame { kind })
            }
            kind::BATCH => Ok(Self::Preamble),
            kind::STREAM_HEADER | kind::GAP | kind::HEARTBEAT | kind::EPOCH => {
                if length > STREAM_FRAME_BYTES {
                    return Err(DecodeError::FrameTooLarge {
                        bytes: length,
                        limit: STREAM_FRAME_BYTES,
                    });
                }
                Ok(Self::Small(kind))
            }
            kind => Err(DecodeError::misplaced(kind)),
        }
    }
}
