//! [`Key`]: identifies a publish that is sent again.

use crate::counted::Counted;
use crate::event_id::Epoch;
use crate::limits::KEY_BYTES;
use bytes::Bytes;

/// Two publishes of one publisher with the same key are the same publish (`QP-8.11`). A key has 1
/// to 64 bytes of any value.
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

/// The key is empty, or has more than 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key of {}: it must have 1 to {KEY_BYTES}", Counted(*bytes, "byte"))]
pub struct KeyError {
    bytes: usize,
}

impl Key {
    /// Creates a key.
    ///
    /// # Errors
    /// [`KeyError`] if its length is not allowed.
    pub fn new(key: impl Into<Bytes>) -> Result<Self, KeyError> {
        let key = key.into();
        match key.len() {
            1..=KEY_BYTES => Ok(Self(key)),
            bytes => Err(KeyError { bytes }),
        }
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Marks a publish that was sent before with the same key (`QP-8.12`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The epoch that the first attempt was sent to.
    pub epoch: Epoch,
    /// How long ago the first attempt was, in milliseconds, rounded up.
    pub ago_ms: u64,
}
