//! `OpenPublisher`: what sort of publishing follows, and who publishes.

use crate::event_id::Epoch;
use crate::limits::PUBLISHER_NAME_BYTES;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The first frame of a publishing stream (`QP-8.1`).
///
/// ```text
/// 0x30 | ordered u8, 0 or 1 | scope |
///
/// scope: 0 named: id 16 bytes, name text
///      | 1 own: id 16 bytes
///      | 2 numbered: id 16 bytes, first v, tried ? through v, epoch v, milliseconds v
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPublisher {
    /// Whether a refused publish refuses all behind it, so that none is taken out of turn.
    pub ordered: bool,
    /// Within what its keys count.
    pub scope: KeyScope,
}

/// Within what the keys of a publishing stream count (`QP-8.11`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyScope {
    /// Keys that the application chose: they count within the principal and this name. For a client that the server cannot tell from
    /// others they count within the name or, if that is empty, within the id.
    Named {
        /// The client.
        id: PublisherId,
        /// May be empty. At most 64 bytes: a longer one is refused when it is read.
        #[serde(deserialize_with = "name")]
        name: String,
    },
    /// Keys that the client's library draws: they count within the id alone, whoever the principal is.
    Own {
        /// Of no other client.
        id: PublisherId,
    },
    /// No keys: the publisher numbers what it publishes (`QP-8.17`). The stream must be ordered.
    Numbered {
        /// Of no other publisher.
        id: PublisherId,
        /// The number of the first publish on this stream. Those behind it have the numbers that follow.
        first: u64,
        /// What of it was sent before.
        tried: Option<Tried>,
    },
}

/// What a numbered stream sends again (`QP-8.18`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Through which number.
    pub through: u64,
    /// The log that the first attempt of the first of them was meant for.
    pub epoch: Epoch,
    /// How long ago that was, in milliseconds, rounded up.
    pub ago_ms: u64,
}

/// 16 random bytes that no other publisher has.
///
/// Whoever knows them can pass for the publisher, so they are shown to nobody but the server: `Debug` leaves them out.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublisherId([u8; 16]);

impl PublisherId {
    /// An id of these bytes, which must be random.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for PublisherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublisherId(..)")
    }
}

impl Default for KeyScope {
    fn default() -> Self {
        Self::Own {
            id: PublisherId::default(),
        }
    }
}

/// Reads a name that is not too long (`QP-8.1`).
fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.len() > PUBLISHER_NAME_BYTES {
        return Err(D::Error::custom("a publisher's name is too long"));
    }
    Ok(name)
}
