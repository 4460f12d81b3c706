//! Close, reset and refusal codes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a connection was closed, a stream reset or a request refused. Any number is a code; some
/// have names.
///
/// An unnamed number is preserved and printed as a number, so an older peer can show the codes of a
/// newer one.
///
/// ```
/// use qsse_proto::Code;
///
/// assert_eq!(Code::BUSY.to_string(), "busy");
/// assert_eq!(Code::new(4711).to_string(), "code 4711");
/// assert!(Code::BUSY.is_retryable() && !Code::NOT_AUTHORISED.is_retryable());
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Code(u64);

/// Defines constants and names in one table, so that they cannot differ.
macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $number:literal, $text:literal;)+) => {
        impl Code {
            $($(#[$doc])+ pub const $name: Self = Self($number);)+

            /// All codes that have a name, in the order of their numbers.
            pub const NAMED: &'static [Self] = &[$(Self::$name),+];

            /// Returns the name, if the code has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($text),)+
                    _ => None,
                }
            }
        }
    };
}

// QP-10.1: the numbers of docs/protocol.md.
codes! {
    /// Nothing went wrong: the peer is done.
    NO_ERROR = 0, "no error";
    /// The token was refused, or does not permit this.
    NOT_AUTHORISED = 1, "not authorised";
    /// The server has no such topic.
    TOPIC_NOT_AVAILABLE = 2, "topic not available";
    /// A stream could not be opened.
    FAILED_TO_CREATE_STREAM = 3, "failed to create stream";
    /// The client's offer could not be sent.
    FAILED_TO_SEND_OFFER = 4, "failed to send offer";
    /// An error without a code of its own.
    UNKNOWN = 5, "unknown error";
    /// The peer sent something that the protocol forbids.
    PROTOCOL_VIOLATION = 16, "protocol violation";
    /// A frame is longer than its limit.
    FRAME_TOO_LARGE = 17, "frame too large";
    /// The peer has no room now, but may have later.
    BUSY = 18, "busy";
    /// The server is shutting down.
    SHUTTING_DOWN = 19, "shutting down";
    /// The subscription lagged and its policy is to disconnect. It can be resumed.
    LAGGED = 20, "lagged";
    /// The stream ends because the client unsubscribed.
    UNSUBSCRIBED = 21, "unsubscribed";
    /// The connection has no room for another subscription.
    TOO_MANY_SUBSCRIPTIONS = 22, "too many subscriptions";
    /// No valid `Hello` came in time.
    HELLO_TIMEOUT = 23, "hello timeout";
    /// An event's data is over the limit.
    EVENT_TOO_LARGE = 24, "event too large";
    /// A topic or pattern is invalid.
    INVALID_TOPIC = 25, "invalid topic";
    /// The request is valid, but this version does not support it.
    UNSUPPORTED = 26, "unsupported";
    /// The token was valid before; a new one is needed.
    TOKEN_EXPIRED = 27, "token expired";
    /// A publish to a pattern matches more topics than allowed.
    TOO_MANY_TOPICS = 28, "too many topics";
    /// An earlier publish of this ordered stream was refused, so this one is refused too.
    FAILED_BEFORE = 29, "an earlier publish was refused";
    /// A pattern has more wildcards than the server allows.
    TOO_MANY_WILDCARDS = 30, "too many wildcards";
    /// The peer sends requests faster than it may.
    RATE_LIMITED = 31, "rate limited";
    /// A publish was retried, and the server no longer knows whether it accepted the first attempt.
    OUTCOME_UNKNOWN = 32, "outcome unknown";
    /// The server cannot store events now: its disk is full, or its store has failed.
    STORE_UNAVAILABLE = 33, "store unavailable";
    /// A frame was begun and did not arrive completely in time.
    FRAME_TIMEOUT = 34, "frame timeout";
}

impl Code {
    /// Creates the code with this number. Any number is valid.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns whether the same request may succeed later without any change (`QP-10.3`).
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::BUSY
                | Self::SHUTTING_DOWN
                | Self::LAGGED
                | Self::HELLO_TIMEOUT
                | Self::RATE_LIMITED
                | Self::FRAME_TIMEOUT
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "code {}", self.0),
        }
    }
}

impl From<u64> for Code {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<Code> for u64 {
    fn from(code: Code) -> Self {
        code.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_is_a_code_and_back() {
        for number in [0, 1, Code::LAGGED.get(), u64::MAX] {
            assert_eq!(Code::from(number), Code::new(number));
            assert_eq!(u64::from(Code::from(number)), number);
        }
    }
}
