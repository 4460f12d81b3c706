//! [`Item`] and [`Notice`]: what a subscription reports besides events.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use qsse_proto::{Code, Counted, Event, Gap, Reset};
use qsse_topic::TopicError;

use crate::error::{DisconnectReason, in_brackets};
use crate::text::short;

/// An event or a notice, as [`Subscription::next_item`](crate::Subscription::next_item) yields
/// them, in order.
#[derive(Clone, Debug)]
pub enum Item<E = Event> {
    /// An event.
    Event(E),
    /// Something that the subscription reports between two events.
    Notice(Notice),
}

impl<E> Item<E> {
    /// Converts an event, and leaves a notice as it is.
    pub fn map<T>(self, convert: impl FnOnce(E) -> T) -> Item<T> {
        match self {
            Self::Event(event) => Item::Event(convert(event)),
            Self::Notice(notice) => Item::Notice(notice),
        }
    }
}

/// What a [`Subscription`](crate::Subscription) reports between two events. It continues after each
/// notice.
///
/// [`next`](crate::Subscription::next) yields only events, and passes notices to the function set
/// with [`on_notice`](crate::Subscribe::on_notice), which logs them by default.
/// [`next_item`](crate::Subscription::next_item) yields both.
///
/// A server that speaks `qsse/1` causes only [`Gap`](Self::Gap) and [`Reset`](Self::Reset). The
/// others occur with servers of the Go library, in its [`Dialect`](crate::Dialect).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// Events may be missing here.
    Gap(Gap),
    /// The server's log does not contain the subscription's position. The subscription continues
    /// with the oldest event of that log.
    Reset(Reset),
    /// An unknown number of events may be missing here.
    Lost(Loss),
    /// The server refused one of several patterns. The others stay subscribed.
    PatternRefused {
        /// The refused pattern.
        pattern: String,
        /// The reason: [`Code::NOT_AUTHORISED`] or [`Code::TOPIC_NOT_AVAILABLE`].
        code: Code,
    },
    /// An event arrived whose topic is invalid in this library.
    Unusable {
        /// The invalid topic.
        topic: String,
        /// The event's data.
        data: Bytes,
        /// Why the topic is invalid.
        problem: TopicError,
    },
    /// The server reported another error.
    Reported {
        /// The error, as a number.
        code: Code,
        /// The error's data as JSON, shortened if it is long; may be empty.
        data: String,
    },
}

/// How events may have been lost with a server of the Go library's [`Dialect`](crate::Dialect),
/// which does not number events.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Loss {
    /// The connection was lost for this reason, and is restored. Events published in between are
    /// lost.
    Reconnected(DisconnectReason),
    /// The server speaks another dialect than before. Events published before the reconnect are
    /// lost.
    Dialect,
    /// The server reported that it no longer had some events.
    Reported,
}

impl Notice {
    /// Returns whether events are or may be missing: true for a gap, a reset, a loss and an
    /// unusable event.
    pub fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Gap(_) | Self::Reset(_) | Self::Lost(_) | Self::Unusable { .. }
        )
    }

    /// Returns the server's reason, if it gave one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::PatternRefused { code, .. } | Self::Reported { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap(gap) => gap.fmt(f),
            Self::Reset(reset) => reset.fmt(f),
            Self::Lost(loss) => write!(f, "an unknown number of events may be missing: {loss}"),
            Self::PatternRefused { pattern, code } => {
                write!(
                    f,
                    "the server refused {pattern}: {code}; the other patterns go on"
                )
            }
            Self::Unusable {
                topic,
                data,
                problem,
            } => {
                let (bytes, topic) = (Counted(data.len(), "byte"), short(topic));
                write!(
                    f,
                    "an event of {bytes} has the invalid topic {topic:?}: {problem}"
                )
            }
            Self::Reported { code, data } => {
                write!(
                    f,
                    "the server reports an error: {code}{}",
                    in_brackets(data)
                )
            }
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reconnected(reason) => {
                write!(
                    f,
                    "{reason}; events published before the reconnect are lost"
                )
            }
            Self::Dialect => f.write_str(
                "the server speaks another dialect than before; events published before the \
                 reconnect are lost",
            ),
            Self::Reported => f.write_str("the server reported that it no longer had them"),
        }
    }
}

/// The function that gets the notices of a subscription whose caller asks only for events.
pub(crate) type OnNotice = Arc<dyn Fn(&Notice) + Send + Sync>;

/// Logs a notice, which is the default.
pub(crate) fn log(notice: &Notice) {
    tracing::warn!(%notice, "subscription");
}

#[cfg(test)]
mod tests {
    use qsse_proto::stream::GapReason;
    use qsse_proto::{Epoch, EventId};
    use qsse_topic::Topic;

    use super::*;

    #[test]
    fn a_notice_knows_whether_events_are_missing() {
        let id = |seq| EventId::new(Epoch::new(1), seq);
        let unusable = Notice::Unusable {
            topic: "a..b".into(),
            data: "x".into(),
            problem: Topic::new("a..b").unwrap_err(),
        };
        assert_eq!(
            unusable.to_string().split(':').next(),
            Some("an event of 1 byte has the invalid topic \"a..b\"")
        );
        for loss in [
            Notice::Gap(Gap::new(id(3), id(9), 6, GapReason::Retention)),
            Notice::Reset(Reset::new(None, id(0))),
            Notice::Lost(Loss::Reported),
            unusable,
        ] {
            assert!(loss.is_loss() && loss.code().is_none(), "{loss}");
        }
        let (code, data) = (Code::UNKNOWN, String::new());
        let refused = Notice::PatternRefused {
            pattern: "ride.*".into(),
            code,
        };
        for other in [Notice::Reported { code, data }, refused] {
            assert!(!other.is_loss() && other.code() == Some(code), "{other}");
        }
    }
}
