//! [`EventId`]: the position of an event, that is, the epoch of its log and its number.

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A random number that names the events of a log between two starts of its server.
///
/// Its text form is base 62: digits, then upper case, then lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

/// The position of one event. No two events ever have the same id, however a server stopped.
///
/// The text form is `<epoch>-<seq>`, such as `7mQ2-42`. It consists of letters, digits, `-` and
/// `_`; treat it as opaque. Serde uses the text in human-readable formats and the two numbers in
/// others. The order of ids of different epochs has no meaning.
///
/// ```
/// use qsse_proto::{Epoch, EventId};
///
/// let id = EventId::new(Epoch::new(1_000), 42);
/// assert_eq!(id.to_string(), "G8-42");
/// assert_eq!("G8-42".parse(), Ok(id));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    epoch: Epoch,
    seq: u64,
}

/// A text that is not an event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("not an event id: take one as it was printed, such as `7mQ2-42`")]
pub struct ParseEventIdError(());

impl Epoch {
    /// Creates the epoch of this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl EventId {
    /// Creates the id of event number `seq` in `epoch`. Events count from 1; 0 is the position
    /// before the first.
    pub const fn new(epoch: Epoch, seq: u64) -> Self {
        Self { epoch, seq }
    }

    /// Returns the epoch.
    pub const fn epoch(self) -> Epoch {
        self.epoch
    }

    /// Returns the event's number in the log.
    pub const fn seq(self) -> u64 {
        self.seq
    }
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 62^11 > 2^64.
        let mut text = [0; 11];
        let mut at = text.len();
        let mut rest = self.0;
        loop {
            at -= 1;
            text[at] = DIGITS[(rest % 62) as usize];
            rest /= 62;
            if rest == 0 {
                break;
            }
        }
        f.pad(std::str::from_utf8(&text[at..]).expect("digits are ASCII"))
    }
}

impl FromStr for Epoch {
    type Err = ParseEventIdError;

    fn from_str(text: &str) -> Result<Self, ParseEventIdError> {
        number(text, 62).map(Self).ok_or(ParseEventIdError(()))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

impl FromStr for EventId {
    type Err = ParseEventIdError;

    /// Accepts exactly what `Display` prints, so an id has only one text.
    fn from_str(text: &str) -> Result<Self, ParseEventIdError> {
        let (epoch, seq) = text.split_once('-').ok_or(ParseEventIdError(()))?;
        let seq = number(seq, 10).ok_or(ParseEventIdError(()))?;
        Ok(Self::new(epoch.parse()?, seq))
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            (self.epoch, self.seq).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            let (epoch, seq) = Deserialize::deserialize(deserializer)?;
            Ok(Self { epoch, seq })
        }
    }
}

/// Parses digits without sign, leading zero or overflow.
fn number(text: &str, base: u64) -> Option<u64> {
    if text.is_empty() || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.bytes().try_fold(0u64, |sum, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        let digit = Some(u64::from(digit)).filter(|&digit| digit < base)?;
        sum.checked_mul(base)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // QP-2.6
        #[test]
        fn an_id_survives_its_text(epoch: u64, seq: u64) {
            let id = EventId::new(Epoch::new(epoch), seq);
            let text = id.to_string();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(text.parse(), Ok(id));
            prop_assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
            prop_assert_eq!(serde_json::from_str::<EventId>(&format!("\"{text}\"")).unwrap(), id);
            let bytes = postcard::to_allocvec(&id).unwrap();
            prop_assert_eq!(postcard::from_bytes::<EventId>(&bytes).unwrap(), id);
        }
    }

    #[test]
    fn the_smallest_and_largest_ids_survive_their_text() {
        assert_eq!(EventId::new(Epoch::new(0), 0).to_string(), "0-0");
        assert_eq!("0-0".parse(), Ok(EventId::new(Epoch::new(0), 0)));
        assert_eq!(
            format!("{:?}", EventId::new(Epoch::new(0), 7)),
            "EventId(0-7)"
        );
        let last = EventId::new(Epoch::new(u64::MAX), u64::MAX);
        assert_eq!(last.to_string(), "LygHa16AHYF-18446744073709551615");
        assert_eq!(last.to_string().parse(), Ok(last));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "01-1",
            "1-01",
            "1-+1",
            "1--1",
            "1-a",
            "1-A",
            "é-1",
            "1-1 ",
            " 1-1",
            "1-1-1",
            "LygHa16AHYG-1",
            "1-18446744073709551616",
            "1_1",
        ] {
            assert_eq!(
                text.parse::<EventId>(),
                Err(ParseEventIdError(())),
                "{text:?}"
            );
        }
    }
}
