//! `OpenPublisher`: the mode of a publishing stream, and the publisher.

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
    /// Whether a refused publish refuses all after it, so that none is accepted out of order.
    pub ordered: bool,
    /// The deduplication scope of its keys.
    pub scope: KeyScope,
}

/// The deduplication scope of a publishing stream's keys (`QP-8.11`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyScope {
    /// Keys of the application. They count for the principal and this name. If the server cannot
    /// tell the client from others, they count for the name or, if that is empty, for the id.
    Named {
        /// The id of the client.
        id: PublisherId,
        /// The publisher's name; may be empty. More than 64 bytes are rejected when it is decoded.
        #[serde(deserialize_with = "name")]
        name: String,
    },
    /// Keys of the client library. They count for the id alone, whatever the principal is.
    Own {
        /// An id that no other client has.
        id: PublisherId,
    },
    /// No keys: the publisher numbers its publishes (`QP-8.17`). The stream must be ordered.
    Numbered {
        /// An id that no other publisher has.
        id: PublisherId,
        /// The number of the first publish on this stream. The others follow in order.
        first: u64,
        /// What the publisher sends again, if anything.
        tried: Option<Tried>,
    },
}

/// The publishes that a numbered stream sends again (`QP-8.18`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The number of the last of them.
    pub through: u64,
    /// The epoch that the first of them was first sent to.
    pub epoch: Epoch,
    /// How long ago that was, in milliseconds, rounded up.
    pub ago_ms: u64,
}

/// 16 random bytes that no other publisher has.
///
/// They are a secret between publisher and server, because anyone who knows them can impersonate
/// the publisher. `Debug` does not show them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublisherId([u8; 16]);

impl PublisherId {
    /// Creates an id of these bytes, which must be random.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
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

/// Reads a name and checks its length (`QP-8.1`).
fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.len() > PUBLISHER_NAME_BYTES {
        return Err(D::Error::custom("a publisher's name is too long"));
    }
    Ok(name)
}
