//! `StreamHeader`: which subscription this is, and where it begins.

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
    /// The client's number for the subscription.
    pub id: u32,
    /// The log that every seq on this stream belongs to.
    pub epoch: Epoch,
    /// The stream goes on after this seq: every event on it has a higher one.
    pub position: u64,
    /// How what was asked for and what is there go together.
    pub outcome: Outcome,
}

/// How a subscription's start was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome {
    /// From now on: nothing older was asked for.
    Live,
    /// From where was asked, without a loss.
    Resumed,
    /// From where was asked, but not all is kept any more: a gap comes before the first event.
    Gap,
    /// The position asked for is not one of this log: from the oldest event that is kept.
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
    /// Where the stream begins, as an id.
    pub const fn start(&self) -> EventId {
        EventId::new(self.epoch, self.position)
    }

    /// The whole frame, as it goes on the wire.
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
