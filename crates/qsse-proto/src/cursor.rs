//! [`Cursor`]: a position to resume from.

use std::fmt;
use std::str::FromStr;

use crate::control::Start;
use crate::event_id::{EventId, ParseEventIdError};
use serde::{Deserialize, Serialize};

/// The position of a subscription: everything up to it has been handed out.
///
/// Store it as text (it implements `Display`, `FromStr` and serde's traits), and start a later
/// subscription from it, with the same patterns or others. Nothing in between is missed as long as
/// the server still has it, and events that it no longer has are reported as a gap.
///
/// ```
/// use qsse_proto::Cursor;
/// use qsse_proto::control::Start;
///
/// let cursor: Cursor = "4C92-42".parse()?;
/// assert_eq!(cursor.to_string(), "4C92-42");
/// let start: Start = cursor.into(); // for `client.subscribe(…).start(cursor)`
/// assert_eq!(start, Start::After(cursor.id()));
/// # Ok::<(), qsse_proto::ParseEventIdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(EventId);

impl Cursor {
    /// Returns the cursor after this event.
    pub const fn after(id: EventId) -> Self {
        Self(id)
    }

    /// Returns the last event that it covers.
    pub const fn id(self) -> EventId {
        self.0
    }
}

impl From<EventId> for Cursor {
    fn from(id: EventId) -> Self {
        Self(id)
    }
}

impl From<Cursor> for EventId {
    fn from(cursor: Cursor) -> Self {
        cursor.0
    }
}

impl From<Cursor> for Start {
    fn from(cursor: Cursor) -> Self {
        Self::After(cursor.0)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Cursor {
    type Err = ParseEventIdError;

    fn from_str(text: &str) -> Result<Self, ParseEventIdError> {
        text.trim().parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use crate::event_id::Epoch;

    use super::*;

    #[test]
    fn it_survives_a_file_with_a_line_break() {
        let cursor = Cursor::after(EventId::new(Epoch::new(u64::MAX), u64::MAX));
        assert_eq!(format!("{cursor}\n").parse(), Ok(cursor));
        let json = serde_json::to_string(&cursor).unwrap();
        assert_eq!(json, format!("\"{cursor}\""));
        assert_eq!(serde_json::from_str::<Cursor>(&json).unwrap(), cursor);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in [
            "",
            "4C92",
            "4C92-",
            "-42",
            "4C92-x",
            "4C92 42",
            "4C92-42-1",
            "4C92-+1",
        ] {
            assert!(text.parse::<Cursor>().is_err(), "{text:?}");
        }
    }
}
