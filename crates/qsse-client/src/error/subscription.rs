//! [`SubscriptionError`]: what a subscription has to say beside events.

use std::fmt;

use bytes::Bytes;
use qsse_proto::go::LineError;
use qsse_proto::stream::GapReason;
use qsse_proto::{Code, Counted, DecodeError, EventId};
use qsse_topic::TopicError;

use super::in_brackets;
use crate::text::short;
use crate::{CloseReason, ConnectError, DisconnectReason};

/// What a [`Subscription`](crate::Subscription) has to say beside events.
///
/// [`Gap`](Self::Gap) and [`Reset`](Self::Reset) are news, not the end: events follow. So are [`Lost`](Self::Lost),
/// [`PatternRefused`](Self::PatternRefused), [`Unusable`](Self::Unusable) and [`Reported`](Self::Reported), which come with servers of the Go
/// library's [`Dialect`](crate::Dialect). After any other the subscription has ended, and `None` follows for ever.
/// [`is_terminal`](Self::is_terminal) tells them apart.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// Some events may be missing here. Not the end.
    #[error("{0}")]
    Gap(Gap),
    /// The server's log is not the one that this subscription came from: the server was replaced, lost its data, or had them put back
    /// from an older copy. It goes on with the oldest event of that log. Not the end.
    #[error(
        "the server's log is another one, or an older copy: what followed {} is lost, it goes on after {position}",
        last(after)
    )]
    Reset {
        /// The position that the server does not know: the last event that was handed out, or where the subscription began; `None` if it had none.
        after: Option<EventId>,
        /// Where the subscription stands now: the events of the server's log after this one follow.
        position: EventId,
    },
    /// The subscription fell behind and had asked to be cut off then, see [`OnLag::Disconnect`](crate::OnLag::Disconnect). Subscribe
    /// again from the [`cursor`](crate::Subscription::cursor) to go on.
    #[error(
        "the subscription fell behind and was cut off; subscribe again from its cursor to go on"
    )]
    Lagged,
    /// Events may be missing here, and nobody knows how many. Not the end.
    #[error("events may be missing here, nobody knows how many: {0}")]
    Lost(Loss),
    /// The server refused one of several patterns; the others go on. Not the end.
    #[error("the server refused {pattern}: {code}; the other patterns go on")]
    PatternRefused {
        /// The pattern, as it was offered.
        pattern: String,
        /// Why, as a number: [`Code::NOT_AUTHORISED`] or [`Code::TOPIC_NOT_AVAILABLE`].
        code: Code,
    },
    /// An event whose topic is none here: it is handed out in this form. Not the end.
    #[error("an event of {} came on {:?}, which is no topic here: {problem}", Counted(data.len(), "byte"), short(topic))]
    Unusable {
        /// The text in the topic's place.
        topic: String,
        /// The event's data.
        data: Bytes,
        /// Why it is no topic.
        problem: TopicError,
    },
    /// Another error that the server told of. Not the end.
    #[error("the server reports an error: {code}{}", in_brackets(data))]
    Reported {
        /// Which, as a number.
        code: Code,
        /// What it said with it, as JSON, cut where it is long; may be empty.
        data: String,
    },
    /// The server ended the subscription, or refused to go on with it after a reconnect.
    #[error("the server ended the subscription: {code}{}", in_brackets(message))]
    Refused {
        /// Why, as a number.
        code: Code,
        /// Why, in words; may be empty.
        message: String,
    },
    /// The server sent something that cannot be understood.
    #[error(
        "the server sent what cannot be understood: are client and server of versions that fit?"
    )]
    Protocol(#[source] DecodeError),
    /// A server of the Go library's dialect wrote a line that cannot be understood.
    #[error("the server wrote a line that cannot be understood: {0}")]
    Line(LineError),
    /// The connection ended for good.
    #[error("the connection has ended for good: {0}")]
    Closed(CloseReason),
}

impl SubscriptionError {
    /// Whether the subscription has ended.
    pub fn is_terminal(&self) -> bool {
        !matches!(
            self,
            Self::Gap(_)
                | Self::Reset { .. }
                | Self::Lost(_)
                | Self::PatternRefused { .. }
                | Self::Unusable { .. }
                | Self::Reported { .. }
        )
    }

    /// Whether subscribing again may go on where this ended. True for [`Lagged`](Self::Lagged), also for news, which need no new subscription.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Lagged => true,
            Self::Refused { code, .. } => code.is_retryable(),
            news => !news.is_terminal(),
        }
    }

    /// Whether it says that events are missing: a gap, a reset, a loss, or an event that could not be handed out as one.
    pub fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Gap(_) | Self::Reset { .. } | Self::Lost(_) | Self::Unusable { .. }
        )
    }

    /// The server's reason, where it gave one: for ending the subscription, or for what it reports.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Lagged => Some(Code::LAGGED),
            Self::Refused { code, .. }
            | Self::PatternRefused { code, .. }
            | Self::Reported { code, .. } => Some(*code),
            Self::Closed(CloseReason::Failed(ConnectError::NotAuthorised { code, .. })) => {
                Some(*code)
            }
            _ => None,
        }
    }
}

/// How events may have been lost with a server of the Go library's [`Dialect`](crate::Dialect), which numbers none.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Loss {
    /// The connection was lost for this reason, and has been made again: what was published in between is lost.
    Reconnected(DisconnectReason),
    /// The server speaks another dialect than before: what was published before it was connected again is lost.
    Dialect,
    /// The server says that it no longer had some events.
    Told,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reconnected(reason) => {
                write!(f, "{reason}; what was published before it was connected again is lost")
            }
            Self::Dialect => f.write_str(
                "the server speaks another dialect than before; what was published before it was connected again is lost",
            ),
            Self::Told => f.write_str("the server says that it no longer had them"),
        }
    }
}

/// A range of the server's log in which matching events may be missing; those that are kept follow.
///
/// A gap does not move the cursor, the next event does: a program that stops in between meets the gap again rather than never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The last event before it. Its epoch may be an earlier one than that of `to`, if the server was started again in between.
    pub after: EventId,
    /// The last event in it.
    pub to: EventId,
    /// How many events are missing at most. It counts all events of the log in that range: how many of them would have
    /// matched is no longer known.
    pub at_most: u64,
    /// Why.
    pub reason: GapReason,
}

impl Gap {
    pub(crate) fn new(after: EventId, to: EventId, at_most: u64, reason: GapReason) -> Self {
        Self {
            after,
            to,
            at_most,
            reason,
        }
    }

    /// The first event that may be missing, with the epoch of [`to`](Self#structfield.to).
    ///
    /// A range can begin in an earlier epoch, and the server says only in which one it ends. Seqs go on across the epochs of a
    /// log, so this id is in the right place of it either way.
    pub fn first(&self) -> EventId {
        EventId::new(self.to.epoch(), self.after.seq().saturating_add(1))
    }
}

/// As `up to 6 events may be missing between 4C92-3 and 4C92-9: the server no longer keeps them`.
impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (missing, why) = (Counted(self.at_most, "event"), self.reason.meaning());
        let (after, to) = (self.after, self.to);
        write!(
            f,
            "up to {missing} may be missing between {after} and {to}: {why}"
        )
    }
}

fn last(after: &Option<EventId>) -> String {
    after.map_or_else(|| "the start".into(), |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use qsse_proto::Epoch;

    use super::*;

    #[test]
    fn news_is_no_end() {
        let id = |seq| EventId::new(Epoch::new(1), seq);
        let gap = Gap::new(id(3), id(9), 6, GapReason::Retention);
        assert_eq!(gap.first(), id(4));
        let restarted = EventId::new(Epoch::new(2), 9);
        let across = Gap::new(id(3), restarted, 6, GapReason::Damaged);
        assert_eq!(across.first(), EventId::new(Epoch::new(2), 4), "as its end");
        let shown = gap.to_string();
        assert_eq!(
            shown,
            "up to 6 events may be missing between 1-3 and 1-9: the server no longer keeps them"
        );
        let one = Gap::new(id(3), id(9), 1, GapReason::Skipped).to_string();
        assert!(one.starts_with("up to 1 event may be missing"), "{one}");
        let gap = SubscriptionError::Gap(gap);
        assert!(!gap.is_terminal());
        assert_eq!(gap.to_string(), shown);
        let reset = SubscriptionError::Reset {
            after: None,
            position: id(0),
        };
        assert!(!reset.is_terminal() && reset.is_retryable());
        let refused = |code| SubscriptionError::Refused {
            code,
            message: String::new(),
        };
        assert!(refused(Code::BUSY).is_retryable() && refused(Code::BUSY).is_terminal());
        assert!(!refused(Code::NOT_AUTHORISED).is_retryable());
        assert_eq!(SubscriptionError::Lagged.code(), Some(Code::LAGGED));
        let lost = SubscriptionError::Lost(Loss::Told);
        assert!(!lost.is_terminal() && lost.is_retryable() && lost.is_loss());
        let (code, data) = (Code::UNKNOWN, String::new());
        let reported = SubscriptionError::Reported { code, data };
        assert!(!reported.is_terminal() && !reported.is_loss());
        let line = SubscriptionError::Line(LineError::TooDeep);
        assert!(line.is_terminal() && !line.is_retryable());
    }
}
