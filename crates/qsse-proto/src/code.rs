//! Close, reset and refusal codes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a connection was closed, a stream reset or a request refused: an open number, some of whose
/// values have names.
///
/// A number without a name survives and prints as a number, so that an older peer can show what a
/// newer one says.
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

/// One table for the constants and their names, so that they cannot part.
macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $number:literal, $text:literal;)+) => {
        impl Code {
            $($(#[$doc])+ pub const $name: Self = Self($number);)+

            /// All codes that have a name, in the order of their numbers.
            pub const NAMED: &'static [Self] = &[$(Self::$name),+];

            /// The name, for the codes that have one.
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
    /// The token was refused, or may not do this.
    NOT_AUTHORISED = 1, "not authorised";
    /// The server has no such topic.
    TOPIC_NOT_AVAILABLE = 2, "topic not available";
    /// A stream could not be opened.
    FAILED_TO_CREATE_STREAM = 3, "failed to create stream";
    /// The client's offer could not be sent.
    FAILED_TO_SEND_OFFER = 4, "failed to send offer";
    /// Something went wrong that has no other code.
    UNKNOWN = 5, "unknown error";
    /// The peer sent what the protocol does not allow.
    PROTOCOL_VIOLATION = 16, "protocol violation";
    /// A frame is longer than its limit.
    FRAME_TOO_LARGE = 17, "frame too large";
    /// The peer has no room now; later it may.
    BUSY = 18, "busy";
    /// The server is going away.
    SHUTTING_DOWN = 19, "shutting down";
    /// The subscription fell behind and its policy is to disconnect; it can be resumed.
    LAGGED = 20, "lagged";
    /// The stream ends because the client unsubscribed.
    UNSUBSCRIBED = 21, "unsubscribed";
    /// One subscription more than a connection may have.
    TOO_MANY_SUBSCRIPTIONS = 22, "too many subscriptions";
    /// No valid `Hello` came in time.
    HELLO_TIMEOUT = 23, "hello timeout";
    /// An event's data is over the limit.
    EVENT_TOO_LARGE = 24, "event too large";
    /// A topic or pattern is not well formed.
    INVALID_TOPIC = 25, "invalid topic";
    /// The request is well formed, but not something that this version does.
    UNSUPPORTED = 26, "unsupported";
    /// The token was good once; a new one is needed.
    TOKEN_EXPIRED = 27, "token expired";
    /// A publish to a pattern reaches more topics than are allowed.
    TOO_MANY_TOPICS = 28, "too many topics";
    /// An earlier publish of this ordered stream was refused, so this one is too.
    FAILED_BEFORE = 29, "an earlier publish was refused";
    /// A pattern has more wildcards than the server allows.
    TOO_MANY_WILDCARDS = 30, "too many wildcards";
    /// The peer asks more often than it may.
    RATE_LIMITED = 31, "rate limited";
    /// A publish is tried again, and it is not known any more whether it was taken before.
    OUTCOME_UNKNOWN = 32, "outcome unknown";
    /// The server cannot keep events now: its disk is full, or its store has failed.
    STORE_UNAVAILABLE = 33, "store unavailable";
}

impl Code {
    /// The code of that number; any number is one.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, as it is sent.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether the same request may succeed later without anyone changing anything (`QP-10.3`).
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::BUSY
                | Self::SHUTTING_DOWN
                | Self::LAGGED
                | Self::HELLO_TIMEOUT
                | Self::RATE_LIMITED
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
