//! [`Gap`] and [`Reset`]: how a subscription reports events that it does not get.

use std::fmt;

use crate::event_id::EventId;
use crate::stream::GapReason;

/// A range of the server's log in which matching events may be missing. Those that still exist
/// follow.
///
/// A gap does not move the cursor; the next event does. A program that stops in between gets the
/// gap again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The last event before the range. Its epoch may be earlier than that of `to`, if the server
    /// was restarted in between.
    pub after: EventId,
    /// The last event in the range.
    pub to: EventId,
    /// The maximum number of missing events. It counts all events of the log in the range; how many
    /// of them would have matched is unknown.
    pub at_most: u64,
    /// Why they are missing.
    pub reason: GapReason,
}

/// The subscription's position is not in the server's log: the server was replaced, lost its data,
/// or was restored from an older copy. The subscription continues with the oldest event of the
/// server's log.
///
/// A reset moves the cursor to [`position`](Self::position).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reset {
    /// The position that is not in the log: the last event that was handed out, or the start of the
    /// subscription. `None` if there was no position.
    pub after: Option<EventId>,
    /// The new position. The events after it follow.
    pub position: EventId,
}

impl Gap {
    /// Creates a gap that begins after `after` and ends with `to`.
    pub const fn new(after: EventId, to: EventId, at_most: u64, reason: GapReason) -> Self {
        Self {
            after,
            to,
            at_most,
            reason,
        }
    }

    /// Returns the first event that may be missing, with the epoch of [`to`](Self#structfield.to).
    ///
    /// The range may begin in an earlier epoch, but the server only reports the epoch in which it
    /// ends. Seqs continue across the epochs of a log, so this id is at the right place either way.
    pub fn first(&self) -> EventId {
        EventId::new(self.to.epoch(), self.after.seq().saturating_add(1))
    }
}

impl Reset {
    /// Creates a reset from `after` to `position`.
    pub const fn new(after: Option<EventId>, position: EventId) -> Self {
        Self { after, position }
    }
}

/// Prints
/// `up to 6 events may be missing between 4C92-3 and 4C92-9: the server no longer keeps them`.
impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (after, to) = (self.after, self.to);
        self.reason.missing(f, self.at_most, after, to)
    }
}

/// Prints which position the server's log does not have, and the new one: `the server's log does
/// not have 4C92-3: …; events after 77AB-0 follow`.
impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server's log does not have ")?;
        match self.after {
            Some(after) => write!(f, "{after}")?,
            None => f.write_str("the start that was asked for")?,
        }
        let position = self.position;
        write!(
            f,
            ": it is another log or an older copy; events after {position} follow"
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::event_id::Epoch;

    use super::*;

    const fn id(seq: u64) -> EventId {
        EventId::new(Epoch::new(1), seq)
    }

    #[test]
    fn a_gap_begins_behind_the_event_before_it() {
        let gap = Gap::new(id(3), id(9), 6, GapReason::Retention);
        assert_eq!(gap.first(), id(4));
        let last = Gap::new(id(u64::MAX), id(u64::MAX), 0, GapReason::Retention);
        assert_eq!(last.first(), id(u64::MAX));
        let restarted = EventId::new(Epoch::new(2), 9);
        let across = Gap::new(id(3), restarted, 6, GapReason::Damaged);
        assert_eq!(across.first(), EventId::new(Epoch::new(2), 4), "as its end");
    }

    #[test]
    fn a_gap_and_a_reset_print_as_sentences() {
        let gap = |at_most, reason| Gap::new(id(3), id(9), at_most, reason).to_string();
        assert_eq!(
            gap(6, GapReason::Retention),
            "up to 6 events may be missing between 1-3 and 1-9: the server no longer keeps them"
        );
        assert!(gap(1, GapReason::Skipped).starts_with("up to 1 event may be missing"));
        assert_eq!(
            Reset::new(Some(id(3)), id(0)).to_string(),
            "the server's log does not have 1-3: it is another log or an older copy; events after 1-0 follow"
        );
        assert!(
            Reset::new(None, id(0))
                .to_string()
                .contains("the start that was asked for:")
        );
    }
}
