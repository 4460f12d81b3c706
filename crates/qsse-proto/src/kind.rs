//! [`Kind`]: what SSE calls the event type.

use crate::limits::KIND_BYTES;
use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The kind of an event, in addition to its topic: `message` unless the publisher chooses another.
///
/// It has 1 to 64 bytes without control characters (`QP-2.9`). A clone shares the text, and the
/// default allocates nothing.
///
/// ```
/// use qsse_proto::Kind;
///
/// assert_eq!(Kind::default(), Kind::MESSAGE);
/// assert_eq!(Kind::new("message")?, Kind::MESSAGE);
/// assert_eq!(Kind::new("created")?.as_str(), "created");
/// assert!(Kind::new("two\nlines").is_err());
/// # Ok::<(), qsse_proto::KindError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
// `None` is `message`. `new` never stores that text, so equal kinds have equal texts.
pub struct Kind(Option<Arc<str>>);

/// Why a text is not a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// The text is empty.
    #[error("kind is empty: leave it out, or give it a name")]
    Empty,
    /// The text has more than 64 bytes.
    #[error("kind is longer than {KIND_BYTES} bytes: shorten it")]
    TooLong,
    /// The text has a control character.
    #[error("kind has a control character at byte {offset}: remove it")]
    ControlCharacter {
        /// The offset of its first byte.
        offset: usize,
    },
}

impl Kind {
    pub(crate) const MESSAGE_TEXT: &str = "message";

    /// The kind of an event whose publisher names none.
    pub const MESSAGE: Self = Self(None);

    /// Checks `text` and copies it, unless it is `message`.
    ///
    /// # Errors
    /// The text is not a kind.
    pub fn new(text: impl AsRef<str>) -> Result<Self, KindError> {
        let text = text.as_ref();
        check(text)?;
        Ok(Self((text != Self::MESSAGE_TEXT).then(|| text.into())))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or(Self::MESSAGE_TEXT)
    }

    /// Returns whether this is `message`.
    pub const fn is_message(&self) -> bool {
        self.0.is_none()
    }
}

/// Checks that `text` is a kind (`QP-2.9`).
pub(crate) fn check(text: &str) -> Result<(), KindError> {
    if text.is_empty() {
        return Err(KindError::Empty);
    }
    if text.len() > KIND_BYTES {
        return Err(KindError::TooLong);
    }
    match text.char_indices().find(|(_, char)| char.is_control()) {
        Some((offset, _)) => Err(KindError::ControlCharacter { offset }),
        None => Ok(()),
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kind").field(&self.as_str()).finish()
    }
}

impl AsRef<str> for Kind {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Kind {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Kind {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Kind {
    type Error = KindError;

    fn try_from(text: &str) -> Result<Self, KindError> {
        Self::new(text)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // QP-2.9
    #[test]
    fn a_kind_has_1_to_64_bytes_and_no_control_character() {
        assert_eq!(Kind::new(""), Err(KindError::Empty));
        assert!(Kind::new("k".repeat(64)).is_ok());
        assert_eq!(Kind::new("k".repeat(65)), Err(KindError::TooLong));
        for (text, offset) in [("a\0", 1), ("é\n", 2), ("\u{85}", 0), ("a\u{7f}b", 1)] {
            assert_eq!(Kind::new(text), Err(KindError::ControlCharacter { offset }));
        }
    }

    #[test]
    fn the_default_is_one_value() {
        assert_eq!(Kind::new("message").unwrap(), Kind::MESSAGE);
        assert!(Kind::new("message").unwrap().is_message());
        assert!(!Kind::new("Message").unwrap().is_message());
        assert_eq!(
            serde_json::to_string(&Kind::MESSAGE).unwrap(),
            "\"message\""
        );
        assert!(serde_json::from_str::<Kind>("\"\"").is_err());
    }

    #[test]
    fn a_kind_compares_with_text_and_prints_it() {
        for text in ["message", "created"] {
            let kind = Kind::new(text).unwrap();
            assert_eq!(text.parse(), Ok(kind.clone()));
            assert_eq!(Kind::try_from(text), Ok(kind.clone()));
            let json = format!("\"{text}\"");
            assert_eq!(serde_json::from_str::<Kind>(&json).unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), json);
            assert_eq!(
                (kind.to_string(), format!("{kind:>9}")),
                (text.into(), format!("{text:>9}"))
            );
            assert_eq!(format!("{kind:?}"), format!("Kind(\"{text}\")"));
            assert_eq!(kind.as_ref(), text);
            assert!(kind == text && kind == *text);
            assert!(kind != "other" && kind != *"other");
        }
        assert_eq!("".parse::<Kind>(), Err(KindError::Empty));
        assert_eq!(
            Kind::try_from("a\0"),
            Err(KindError::ControlCharacter { offset: 1 })
        );
    }
}
