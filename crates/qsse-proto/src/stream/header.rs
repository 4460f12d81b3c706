//! `StreamHeader`: the subscription of a stream, and where it begins.

use crate::event_id::{Epoch, EventId};
use crate::frame::{self, kind};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The first frame of a subscription's stream (`QP-5.6`).
///
/// ```text
/// 0x20 | id v | epoch v | position v | outcome v |
///
/// outcome: 0 live | 1 resumed | 2 gap | 3 reset
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamHeader {
    /// The client's number of the subscription.
    pub id: u32,
    /// The epoch of the seqs on this stream.
    pub epoch: Epoch,
    /// The stream continues after this seq: all its events have higher ones.
    pub position: u64,
    /// How the requested start was met.
    pub outcome: Outcome,
}

/// How a subscription's start was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome {
    /// It is live: no earlier events were requested.
    Live,
    /// It starts where requested, without a loss.
    Resumed,
    /// It starts where requested, but some events no longer exist. A gap precedes the first event.
    Gap,
    /// The requested position is not in this log. It starts at the oldest event.
    Reset,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Live => "live",
            Self::Resumed => "resumed",
            Self::Gap => "resumed with a gap",
            Self::Reset => "reset",
        })
    }
}

impl StreamHeader {
    /// Returns the start of the stream as an id.
    pub const fn start(&self) -> EventId {
        EventId::new(self.epoch, self.position)
    }

    /// Returns the whole frame, as it is sent.
    pub fn encode(&self) -> Bytes {
        frame::encode(kind::STREAM_HEADER, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_a_name() {
        for (outcome, name) in [
            (Outcome::Live, "live"),
            (Outcome::Resumed, "resumed"),
            (Outcome::Gap, "resumed with a gap"),
            (Outcome::Reset, "reset"),
        ] {
            assert_eq!(outcome.to_string(), name);
        }
    }
}
