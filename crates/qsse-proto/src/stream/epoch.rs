//! `Epoch`: the epoch of what follows.

use crate::event_id::Epoch;
use crate::frame::{self, kind};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The following events, gaps and heartbeats belong to this epoch (`QP-7.9`).
///
/// ```text
/// 0x24 | epoch v |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochChange {
    /// The epoch.
    pub epoch: Epoch,
}

impl EpochChange {
    /// Returns the whole frame, as it is sent.
    pub fn encode(&self) -> Bytes {
        frame::encode(kind::EPOCH, self)
    }
}
