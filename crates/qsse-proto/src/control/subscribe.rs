//! `Subscribe`: events wanted.

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
    /// The client's number for it, never used before on this connection.
    pub id: u32,
    /// What it wants: 1 to 1,024 patterns. The server checks them; here they are any text.
    #[serde(deserialize_with = "patterns")]
    pub patterns: Vec<String>,
    /// Where it begins.
    pub start: Start,
    /// What happens when it falls behind what is kept in the live feed.
    pub on_lag: OnLag,
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Start {
    /// With the next event that is published.
    #[default]
    Live,
    /// After this position: the way to resume.
    After(EventId),
    /// With the oldest event that is kept.
    Earliest,
    /// With the first event of this time or later.
    Since(Timestamp),
    /// With the last so many events of each topic, and everything that follows them.
    Last(u32),
}

/// What happens to a subscription that lags: whose position fell out of the live feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum OnLag {
    /// It is served from history until it has caught up.
    #[default]
    CatchUp,
    /// It gets a gap and goes on with what is published from now on.
    Skip,
    /// It gets a gap and the last event of each topic that it missed.
    Latest,
    /// Its stream is reset with [`Code::LAGGED`](crate::Code::LAGGED); it can be resumed.
    Disconnect,
}

/// Reads texts without believing their number (`QP-2.8`, `QP-5.2`).
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
        // No capacity from the size hint: it is the peer's word.
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

    /// An iterator that claims to hold more than any memory.
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
