//! [`Failed`]: why a publishing stream ended early, or its publishes were not stored.

use qsse_log::Receipt;
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

/// Waits until all of it is stored. Returns the reason if it is not.
///
/// # Errors
/// [`Failed::InDoubt`] if that is unknown.
pub(super) async fn all_stored(receipts: Vec<Receipt>) -> Result<Result<(), String>, Failed> {
    for receipt in receipts {
        match receipt.stored().await {
            Ok(()) => {}
            // QP-8.6: what was written before a sync failed may be there when the store is opened
            // again.
            Err(error) if error.is_final() => return Err(Failed::InDoubt),
            Err(error) => return Ok(Err(error.to_string())),
        }
    }
    Ok(Ok(()))
}
