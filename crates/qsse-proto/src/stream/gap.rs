//! `Gap`: events that may be missing.

use crate::counted::Counted;
use crate::frame::{self, kind};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Matching events in `(after, to]` may be missing. Those that still exist follow (`QP-7.1`).
///
/// ```text
/// 0x22 | after v | to v | at most v | reason v |
///
/// reason: 0 retention | 1 lag | 2 skipped | 3 latest | 4 damaged
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The last seq before the range.
    pub after: u64,
    /// The last seq of the range.
    pub to: u64,
    /// How many events of the whole log are missing in the range. How many of them would have
    /// matched is unknown.
    pub at_most: u64,
    /// Why they are missing.
    pub reason: GapReason,
}

impl Gap {
    /// Returns the whole frame, as it is sent.
    pub fn encode(&self) -> Bytes {
        frame::encode(kind::GAP, self)
    }
}

/// Prints `up to 6 events may be missing between 3 and 9: the server no longer keeps them`, for
/// readers of a server's own log.
impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (after, to) = (self.after, self.to);
        self.reason.missing(f, self.at_most, after, to)
    }
}

/// Why events may be missing. Any number is a reason; some have names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// They were older than what the server keeps.
    Retention,
    /// The subscription fell so far behind that history no longer had them.
    Lag,
    /// The subscription lagged and skips, as its policy says.
    Skipped,
    /// The subscription lagged and gets only the last event of each topic, as its policy says.
    Latest,
    /// The server lost them, for example after an unclean shutdown.
    Damaged,
    /// A reason that this version does not know.
    Other(u64),
}

impl GapReason {
    /// Returns the number.
    pub const fn number(self) -> u64 {
        match self {
            Self::Retention => 0,
            Self::Lag => 1,
            Self::Skipped => 2,
            Self::Latest => 3,
            Self::Damaged => 4,
            Self::Other(number) => number,
        }
    }

    /// Returns what happened to the events, as a clause: `the server no longer keeps them`.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Retention => "the server no longer keeps them",
            Self::Lag => "the subscription fell further behind than the server keeps them",
            Self::Skipped => "the subscription fell behind and skipped them, as asked",
            Self::Latest => {
                "the subscription fell behind and gets the latest of each topic, as asked"
            }
            Self::Damaged => "they were damaged in storage",
            Self::Other(_) => "the server has lost them",
        }
    }
}

/// Converts known numbers to their names.
impl From<u64> for GapReason {
    fn from(number: u64) -> Self {
        match number {
            0 => Self::Retention,
            1 => Self::Lag,
            2 => Self::Skipped,
            3 => Self::Latest,
            4 => Self::Damaged,
            number => Self::Other(number),
        }
    }
}

impl GapReason {
    /// Writes how many events are missing, where and why.
    pub(crate) fn missing(
        self,
        f: &mut fmt::Formatter<'_>,
        at_most: u64,
        after: impl fmt::Display,
        to: impl fmt::Display,
    ) -> fmt::Result {
        let (missing, why) = (Counted(at_most, "event"), self.meaning());
        write!(
            f,
            "up to {missing} may be missing between {after} and {to}: {why}"
        )
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retention => f.pad("retention"),
            Self::Lag => f.pad("lag"),
            Self::Skipped => f.pad("skipped"),
            Self::Latest => f.pad("latest"),
            Self::Damaged => f.pad("damaged"),
            Self::Other(number) => write!(f, "reason {number}"),
        }
    }
}

impl Serialize for GapReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.number())
    }
}

impl<'de> Deserialize<'de> for GapReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_says_how_much_is_missing_where_and_why() {
        let gap = |at_most, reason| Gap {
            after: 3,
            to: 9,
            at_most,
            reason,
        };
        let several = gap(6, GapReason::Retention);
        assert_eq!(
            several.to_string(),
            "up to 6 events may be missing between 3 and 9: the server no longer keeps them"
        );
        let one = gap(1, GapReason::Damaged);
        assert_eq!(
            one.to_string(),
            "up to 1 event may be missing between 3 and 9: they were damaged in storage"
        );
    }

    #[test]
    fn each_reason_has_a_name_and_a_meaning_of_its_own() {
        let names = [
            "retention",
            "lag",
            "skipped",
            "latest",
            "damaged",
            "reason 5",
        ];
        let mut meanings = Vec::new();
        for (number, name) in (0..).zip(names) {
            let reason = GapReason::from(number);
            assert_eq!(reason.to_string(), name);
            assert!(reason.meaning().contains(' '), "{name} is explained");
            meanings.push(reason.meaning());
        }
        meanings.sort_unstable();
        meanings.dedup();
        assert_eq!(meanings.len(), names.len());
    }
}
