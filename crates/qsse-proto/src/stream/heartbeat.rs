//! `Heartbeat`: nothing was missed.

use crate::frame::{self, kind};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Everything up to and including `position` that matches has been written to this stream
/// (`QP-7.5`).
///
/// ```text
/// 0x23 | position v |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The seq, in the epoch of the stream at this place.
    pub position: u64,
}

impl Heartbeat {
    /// The whole frame, as it goes on the wire.
    pub fn encode(&self) -> Bytes {
        frame::encode(kind::HEARTBEAT, self)
    }
}
