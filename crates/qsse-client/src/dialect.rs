//! [`Dialect`]: which protocol a client speaks.

use std::fmt;
use std::str::FromStr;

use qsse_proto::{ALPN, GO_ALPN};
use qsse_transport::tls::ClientTls;
use serde::{Deserialize, Serialize};

/// Which protocol a client speaks: its own, `qsse/1`, or that of the Go library `snapp-incubator/qsse`.
///
/// The two sides agree on one while they connect. With [`Auto`](Self::Auto) a server that speaks both chooses `qsse/1`, and after a lost
/// connection they agree anew: when a Go server is replaced by one of ours, running clients move over by themselves.
/// [`Client::dialect`](crate::Client::dialect) tells which it is.
///
/// # What the Go library's protocol cannot do
///
/// - **No ids.** Events are numbered here, from 1 for each subscription, in the epoch 0 that no server's log has, and their time is that at
///   which they were read. Such ids, and [cursors](crate::Cursor) made of them, mean nothing to anybody else.
/// - **No resuming.** A [start](crate::Subscribe::start) other than [`Live`](crate::Start::Live) and an
///   [`on_lag`](crate::Subscribe::on_lag) other than the usual one are refused with
///   [`SubscribeError::Unsupported`](crate::SubscribeError::Unsupported). What is published while a subscription has no connection is
///   lost to it: [`Notice::Lost`](crate::Notice::Lost) says so when it is connected again, and nobody knows
///   how many events that were.
/// - **No gaps.** A Go server does not tell of what it dropped. Ours does, without a count, as `Lost`.
/// - **No publishing**, no [round trips](crate::Client::ping) and no
///   [refreshing of a token](crate::Client::refresh_token) on an open connection.
/// - **One connection for each subscription.** The one made by [`Client::connect`](crate::Client::connect) is used by the first. They are
///   lost and made again one by one: [`state`](crate::Client::state) says `Reconnecting` as long as one of them is being made again. Without
///   subscriptions there may be no connection at all, and the state stays what it was. A subscription whose connection ends for good ends alone;
///   only when it was the last one the client is closed too.
/// - **Nothing is confirmed.** [`subscribe`](crate::Client::subscribe) returns as soon as the patterns are written, before the server has
///   looked at token or patterns: what is published in that moment may be missed. A refused token ends the subscription afterwards, with
///   [`SubscriptionError::Closed`](crate::SubscriptionError::Closed). A refused pattern is told by
///   [`Notice::PatternRefused`](crate::Notice::PatternRefused), and the subscription ends when all of its
///   patterns are.
/// - **Go servers take patterns by the letter.** A topic is subscribed to by exactly the text that the server has declared: `ride.*` reaches no
///   `ride.7` there. Of several patterns in one subscription, those that another one contains are left out before they are offered: make
///   a subscription of each, or use handlers. [Handlers](crate::Handlers) offer every pattern that they were given and match events here, as in Go.
/// - **Certificates.** Unless it was given one, a Go server makes a new certificate with each start. A client that recognised it by its fingerprint
///   gives up then, with [`ConnectError::Certificate`](crate::ConnectError::Certificate).
/// - **The topic `error` is not for events**: what comes on it is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Dialect {
    /// `qsse/1` where the server has it, else the Go library's.
    #[default]
    Auto,
    /// `qsse/1` and nothing else.
    Qsse,
    /// The Go library's and nothing else.
    Go,
}

/// A text that names no [`Dialect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such dialect: write auto, qsse or go")]
pub struct ParseDialectError(());

impl Dialect {
    /// The dialect's name: `auto`, `qsse` or `go`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Qsse => "qsse",
            Self::Go => "go",
        }
    }

    /// The same way of recognising a server, with this dialect offered. A configuration that offers something of its own keeps that.
    pub(crate) fn offered(self, tls: ClientTls) -> ClientTls {
        if tls.alpn() != [ALPN] {
            return tls;
        }
        match self {
            Self::Auto => tls.with_alpn([ALPN, GO_ALPN]),
            Self::Qsse => tls,
            Self::Go => tls.with_alpn([GO_ALPN]),
        }
    }

    /// What to do about a server that does not speak it.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::Auto => "",
            Self::Qsse => {
                "; a server of the Go library needs the dialect auto or go (--dialect auto)"
            }
            Self::Go => "; a server of qsse/1 needs the dialect auto or qsse (--dialect auto)",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Dialect {
    type Err = ParseDialectError;

    fn from_str(text: &str) -> Result<Self, ParseDialectError> {
        let all = [Self::Auto, Self::Qsse, Self::Go];
        let named = all.into_iter().find(|dialect| dialect.as_str() == text);
        named.ok_or(ParseDialectError(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_everywhere() {
        for (dialect, name) in [
            (Dialect::Auto, "auto"),
            (Dialect::Qsse, "qsse"),
            (Dialect::Go, "go"),
        ] {
            assert_eq!(dialect.to_string(), name);
            assert_eq!(name.parse(), Ok(dialect));
            let json = serde_json::to_string(&dialect).unwrap();
            assert_eq!(json, format!("{name:?}"));
            assert_eq!(serde_json::from_str::<Dialect>(&json).unwrap(), dialect);
        }
        assert!("Go".parse::<Dialect>().is_err() && "".parse::<Dialect>().is_err());
    }

    #[test]
    fn the_own_protocol_goes_first_and_a_protocol_that_was_set_stays() {
        let offered = |dialect: Dialect| dialect.offered(ClientTls::insecure()).alpn().to_vec();
        assert_eq!(offered(Dialect::Auto), [ALPN, GO_ALPN]);
        assert_eq!(offered(Dialect::Qsse), [ALPN]);
        assert_eq!(offered(Dialect::Go), [GO_ALPN]);
        let own = Dialect::Go.offered(ClientTls::insecure().with_alpn(["mine"]));
        assert_eq!(own.alpn(), [b"mine"]);
    }
}
