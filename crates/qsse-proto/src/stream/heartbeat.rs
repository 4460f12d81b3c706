//! `Heartbeat`: all matching events up to a position were written.

use crate::frame::{self, kind};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// All matching events up to and including `position` have been written to this stream (`QP-7.5`).
///
/// ```text
/// 0x23 | position v |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The seq, in the stream's current epoch.
    pub position: u64,
}

impl Heartbeat {
    /// Returns the whole frame, as it is sent.
    pub fn encode(&self) -> Bytes {
        frame::encode(kind::HEARTBEAT, self)
    }
}
