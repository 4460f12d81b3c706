//! `OpenPublisher`: what sort of publishing follows.

use crate::limits::PUBLISHER_NAME_BYTES;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

/// The first frame of a publishing stream (`QP-8.1`).
///
/// ```text
/// 0x30 | ordered u8, 0 or 1 | name text |
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPublisher {
    /// Whether a refused publish refuses all behind it, so that none is taken out of turn.
    pub ordered: bool,
    /// Who publishes, as far as keys go: a key stands for one publish of a principal under one name. May be empty.
    /// At most 64 bytes: a longer one is refused when it is read.
    #[serde(deserialize_with = "name")]
    pub name: String,
}

/// Reads a name that is not too long (`QP-8.1`).
fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.len() > PUBLISHER_NAME_BYTES {
        return Err(D::Error::custom("a publisher's name is too long"));
    }
    Ok(name)
}
