//! [`Dialect`]: which protocol a client speaks.

use std::fmt;
use std::str::FromStr;

use qsse_proto::{ALPN, GO_ALPN};
use qsse_transport::tls::ClientTls;
use serde::{Deserialize, Serialize};

/// Which protocol a client speaks: its own, `qsse/1`, or that of the Go library
/// `snapp-incubator/qsse`.
///
/// Client and server agree on one while they connect. With [`Auto`](Self::Auto), a server that
/// speaks both chooses `qsse/1`. They agree anew after a lost connection, so when a Go server is
/// replaced by a server of this library, running clients switch by themselves.
/// [`Client::dialect`](crate::Client::dialect) returns the current one.
///
/// # What the Go library's protocol cannot do
///
/// - **No ids.** The client numbers events from 1 for each subscription, in the epoch 0, which no
///   server's log has. Their time is when they were read. These ids, and [cursors](crate::Cursor)
///   made of them, are meaningless elsewhere.
/// - **No resuming.** A [start](crate::Subscribe::start) other than [`Live`](crate::Start::Live)
///   and an [`on_lag`](crate::Subscribe::on_lag) other than the default are refused with
///   [`SubscribeError::Unsupported`](crate::SubscribeError::Unsupported). A subscription misses
///   what is published while it has no connection: [`Notice::Lost`](crate::Notice::Lost) reports
///   this once it is connected again, without a count.
/// - **No gaps.** A Go server does not report events that it dropped. A server of this library
///   does, as `Lost`, without a count.
/// - **No publishing**, no [round trips](crate::Client::ping) and no
///   [newer token](crate::Client::refresh_token) on an open connection.
/// - **One connection for each subscription.** The first subscription uses the connection that
///   [`Client::connect`](crate::Client::connect) made. Each is lost and restored on its own, and
///   [`state`](crate::Client::state) is `Reconnecting` while at least one is being restored.
///   Without subscriptions there may be no connection at all, and the state does not change. A
///   subscription whose connection ends for good ends alone; if it was the last one, the client is
///   closed too.
/// - **No confirmation.** [`subscribe`](crate::Client::subscribe) returns once the patterns are
///   written, before the server has checked token or patterns, and may miss what is published at
///   that moment. A refused token ends the subscription later, with
///   [`SubscriptionError::Closed`](crate::SubscriptionError::Closed). A refused pattern is reported
///   by [`Notice::PatternRefused`](crate::Notice::PatternRefused), and the subscription ends once
///   all of its patterns are refused.
/// - **Go servers compare patterns literally.** A topic is subscribed to with exactly the text that
///   the server has declared: `ride.*` does not match `ride.7` there. Of several patterns in one
///   subscription, those contained in another one are not offered: make a subscription for each, or
///   use handlers. [Handlers](crate::Handlers) offer every pattern that they were given and match
///   events in the client, as in Go.
/// - **New certificates.** Unless it was given one, a Go server makes a new certificate at each
///   start. A client that verifies it by its fingerprint then gives up, with
///   [`ConnectError::Certificate`](crate::ConnectError::Certificate).
/// - **The topic `error` has no events**: the server sends errors on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Dialect {
    /// `qsse/1` if the server speaks it, otherwise the Go library's.
    #[default]
    Auto,
    /// Only `qsse/1`.
    Qsse,
    /// Only the Go library's.
    Go,
    /// `qsse/1` in a session of WebTransport, as browsers use it. Everything works as over
    /// `qsse/1`; use it where only HTTP/3 gets through, and to try what a browser would see.
    #[cfg(feature = "web-transport")]
    WebTransport,
}

/// The error for a text that names no [`Dialect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such dialect: write auto, qsse, go or webtransport")]
pub struct ParseDialectError(());

impl Dialect {
    /// Returns the dialect's name: `auto`, `qsse` or `go`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Qsse => "qsse",
            Self::Go => "go",
            #[cfg(feature = "web-transport")]
            Self::WebTransport => "webtransport",
        }
    }

    /// Offers this dialect in `tls`, unless `tls` already offers a protocol of the caller's.
    pub(crate) fn offered(self, tls: ClientTls) -> ClientTls {
        if tls.alpn() != [ALPN] {
            return tls;
        }
        match self {
            Self::Auto => tls.with_alpn([ALPN, GO_ALPN]),
            Self::Qsse => tls,
            Self::Go => tls.with_alpn([GO_ALPN]),
            #[cfg(feature = "web-transport")]
            Self::WebTransport => tls.with_alpn([qsse_proto::H3_ALPN]),
        }
    }

    /// Returns what to do about a server that does not speak it.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::Auto => "",
            Self::Qsse => {
                "; a server of the Go library needs the dialect auto or go (--dialect auto)"
            }
            Self::Go => "; a server of qsse/1 needs the dialect auto or qsse (--dialect auto)",
            #[cfg(feature = "web-transport")]
            Self::WebTransport => "; does it serve browsers (--http)?",
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
        let all = [
            Self::Auto,
            Self::Qsse,
            Self::Go,
            #[cfg(feature = "web-transport")]
            Self::WebTransport,
        ];
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
            #[cfg(feature = "web-transport")]
            (Dialect::WebTransport, "webtransport"),
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
