//! `Subscribe`: asks for events.

use crate::event_id::EventId;
use crate::limits::PATTERNS_PER_SUBSCRIPTION;
use crate::timestamp::Timestamp;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A new subscription (`QP-5.1`).
///
/// ```text
/// 0x02 | id v | count v, count x pattern text | start | on lag v |
///
/// start:  0 live | 1 after: epoch v, seq v | 2 earliest
///       | 3 since: microseconds v | 4 last: events of each topic v
/// on lag: 0 catch up | 1 skip | 2 latest | 3 disconnect
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// The client's number of the subscription, never used before on this connection.
    pub id: u32,
    /// The patterns, 1 to 1,024. Here they may be any text; the server checks them.
    #[serde(deserialize_with = "patterns")]
    pub patterns: Vec<String>,
    /// Where the subscription begins.
    pub start: Start,
    /// What happens if the subscription falls behind the live feed.
    pub on_lag: OnLag,
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Start {
    /// Live: with the next event that is published.
    #[default]
    Live,
    /// After this position. This resumes a subscription.
    After(EventId),
    /// With the oldest event that the server has.
    Earliest,
    /// With the first event of this time or later.
    Since(Timestamp),
    /// With the last events of each topic, this many, and everything after them.
    Last(u32),
}

/// What happens to a subscription that lags, that is, whose position has left the live feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum OnLag {
    /// It reads from history until it has caught up.
    #[default]
    CatchUp,
    /// It gets a gap, and continues with the events that are published from now on.
    Skip,
    /// It gets a gap, and the last event of each topic that it missed.
    Latest,
    /// Its stream is reset with [`Code::LAGGED`](crate::Code::LAGGED). It can be resumed.
    Disconnect,
}

/// Reads texts without trusting their number (`QP-2.8`, `QP-5.2`).
fn patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_seq(Patterns)
}

struct Patterns;

impl<'de> Visitor<'de> for Patterns {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {PATTERNS_PER_SUBSCRIPTION} patterns")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
        // The size hint comes from the peer, so it reserves no capacity.
        let mut patterns = Vec::new();
        while let Some(pattern) = seq.next_element()? {
            if patterns.len() == PATTERNS_PER_SUBSCRIPTION {
                return Err(de::Error::invalid_length(patterns.len() + 1, &self));
            }
            patterns.push(pattern);
        }
        Ok(patterns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::{Error, SeqDeserializer};

    /// An iterator that claims more items than any memory holds.
    struct Liar(std::vec::IntoIter<&'static str>);

    impl Iterator for Liar {
        type Item = &'static str;

        fn next(&mut self) -> Option<&'static str> {
            self.0.next()
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            (usize::MAX, Some(usize::MAX))
        }
    }

    // QP-2.8
    #[test]
    fn a_number_of_patterns_reserves_nothing() {
        let liar = Liar(vec!["a", "b"].into_iter());
        let read = patterns(SeqDeserializer::<_, Error>::new(liar)).unwrap();
        assert_eq!(read, ["a", "b"]);
        assert!(read.capacity() < 10);
    }

    // QP-5.2
    #[test]
    fn the_number_of_patterns_is_bounded() {
        let read = |count| {
            patterns(SeqDeserializer::<_, Error>::new(
                vec!["a"; count].into_iter(),
            ))
        };
        assert_eq!(read(1024).unwrap().len(), 1024);
        let error = read(1025).unwrap_err().to_string();
        let told = ["1025", "at most 1024 patterns"];
        assert!(told.iter().all(|part| error.contains(part)), "{error}");
    }
}
