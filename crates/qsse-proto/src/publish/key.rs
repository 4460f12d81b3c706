//! `Key`: what makes a publish that is sent again the same one.

use crate::counted::Counted;
use crate::event_id::Epoch;
use crate::limits::KEY_BYTES;
use bytes::Bytes;

/// What makes two publishes of one publisher the same one (`QP-8.11`): 1 to 64 bytes of any value.
///
/// ```
/// use qsse_proto::publish::Key;
///
/// assert_eq!(Key::new("order 4711")?.as_bytes(), b"order 4711");
/// assert!(Key::new("").is_err());
/// # Ok::<(), qsse_proto::publish::KeyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(Bytes);

/// A key of no bytes, or of more than 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key of {}: it must have 1 to {KEY_BYTES}", Counted(*bytes, "byte"))]
pub struct KeyError {
    bytes: usize,
}

impl Key {
    /// A key of these bytes.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new(key: impl Into<Bytes>) -> Result<Self, KeyError> {
        let key = key.into();
        match key.len() {
            1..=KEY_BYTES => Ok(Self(key)),
            bytes => Err(KeyError { bytes }),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The mark of a publish that was sent before under the same key (`QP-8.12`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The log that the first attempt was meant for.
    pub epoch: Epoch,
    /// How long ago that was, in milliseconds, rounded up.
    pub ago_ms: u64,
}
