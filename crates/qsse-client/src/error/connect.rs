//! [`ConnectError`]: why connecting failed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use qsse_proto::control::TokenTooLong;
use qsse_proto::limits::SettingError;
use qsse_proto::{Code, DecodeError};
use qsse_transport::tls::TlsError;
use qsse_transport::{BindError, ConnectError as TransportError, ConnectionError, UrlError};

use super::{Boxed, in_brackets};
use crate::dialect::Dialect;

/// Why [`Client::connect`](crate::Client::connect) failed, or why a lost connection could not be
/// restored.
///
/// It is cheap to clone, since the same error may end many subscriptions.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server's address is invalid.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A setting is out of range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The host name could not be resolved.
    #[error("cannot look up the address of {host}: is the name right, and is there a network?")]
    Resolve {
        /// The host name.
        host: String,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// The host name resolves to no address.
    #[error("{host} has no address: is the name right?")]
    NoAddress {
        /// The host name.
        host: String,
    },
    /// No UDP socket could be opened.
    #[error("cannot open a UDP socket")]
    Socket(#[source] Arc<BindError>),
    /// The trusted certificates could not be set up, for instance because a file is missing.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The publisher's name is longer than 64 bytes.
    #[error("the publisher's name has {bytes} bytes, which is more than 64")]
    PublisherName {
        /// The length of the name.
        bytes: usize,
    },
    /// No certificate is trusted: this build does not use the system's root certificates, and
    /// nothing else was given.
    #[error(
        "no certificate is trusted: give a fingerprint or a file of root certificates (the feature \
         `platform-verifier` trusts those of the system)"
    )]
    NobodyTrusted,
    /// A fingerprint was given, perhaps in the server's address, and
    /// [`insecure`](crate::Connect::insecure) was called.
    #[error(
        "`insecure` trusts every certificate and a fingerprint only one: give one of the two (the \
         server's address may contain the fingerprint)"
    )]
    InsecureAndFingerprint,
    /// The client does not trust the server's certificate.
    #[error(transparent)]
    Certificate(TransportError),
    /// The server did not answer, refused the connection, or does not speak the protocol.
    #[error(transparent)]
    Unreachable(TransportError),
    /// The server does not speak the requested dialect.
    #[error("{problem}{}", dialect.advice())]
    Dialect {
        /// The requested dialect.
        dialect: Dialect,
        /// The transport's error.
        problem: TransportError,
    },
    /// The server did not accept the client within
    /// [`Config::connect_timeout`](crate::Config#structfield.connect_timeout).
    #[error(
        "{server} did not answer within {}: is a qsse server running there, and does UDP get \
         through?",
        humantime::format_duration(*after)
    )]
    TimedOut {
        /// Host and port.
        server: String,
        /// The timeout.
        after: Duration,
    },
    /// The token was refused, has expired, or is missing.
    #[error(
        "the server refused the token: {code}{}; give a valid one",
        in_brackets(message)
    )]
    NotAuthorised {
        /// The reason, as a number: [`Code::NOT_AUTHORISED`] or [`Code::TOKEN_EXPIRED`].
        code: Code,
        /// The reason, in words; may be empty.
        message: String,
    },
    /// The function that returns the token failed.
    #[error("cannot get a token")]
    Token(#[source] Arc<Boxed>),
    /// The token is longer than a server accepts.
    #[error(transparent)]
    TokenTooLong(#[from] TokenTooLong),
    /// The server closed the connection before it accepted the client.
    #[error("the server closed the connection: {code}{}", in_brackets(message))]
    Refused {
        /// The reason, as a number.
        code: Code,
        /// The reason, in words; may be empty.
        message: String,
    },
    /// The connection was lost before the server accepted the client.
    #[error("the connection was lost before the server answered")]
    Lost(#[source] ConnectionError),
    /// The server's answer cannot be decoded.
    #[error(
        "the server's answer cannot be decoded: are the versions of client and server compatible?"
    )]
    Protocol(#[source] DecodeError),
    /// The server answered with something other than a welcome.
    #[error(
        "the server did not answer with a welcome: are the versions of client and server \
         compatible?"
    )]
    NoWelcome,
    /// The call was made outside a tokio runtime, which the client's task needs.
    #[error("there is no tokio runtime here: connect from within one")]
    NoRuntime,
    /// The client was closed while connecting.
    #[error("the client was closed while it was connecting")]
    Closed,
}

impl ConnectError {
    /// Returns whether the same attempt may succeed later without a changed setting.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::NoAddress { .. }
            | Self::Socket(_)
            | Self::TimedOut { .. }
            | Self::Token(_) => true,
            Self::Unreachable(error) => error.is_retryable(),
            Self::Refused { code, .. } => *code == Code::NO_ERROR || code.is_retryable(),
            Self::Lost(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// Returns whether a client that was connected before must give up: the token or the
    /// certificate is refused, or the client's own settings are wrong. Other errors may pass while
    /// a server is being replaced.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Certificate(_)
                | Self::NotAuthorised { .. }
                | Self::Tls(_)
                | Self::NobodyTrusted
                | Self::TokenTooLong(_)
                | Self::Closed
        )
    }

    /// Returns whether the token has expired.
    pub(crate) fn is_expiry(&self) -> bool {
        matches!(self, Self::NotAuthorised { code, .. } if *code == Code::TOKEN_EXPIRED)
    }

    /// Adds advice if the server does not speak the dialect that was offered.
    pub(crate) fn with_dialect(self, dialect: Dialect) -> Self {
        match self {
            Self::Unreachable(problem @ TransportError::AlpnMismatch { .. })
                if dialect != Dialect::Auto =>
            {
                Self::Dialect { dialect, problem }
            }
            other => other,
        }
    }

    /// Makes an error of a connection that ended before the server's welcome.
    pub(crate) fn before_welcome(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Closed { code, reason } => Self::closed(code, reason),
            error => Self::Lost(error),
        }
    }

    /// Makes an error of a connection that the server closed before its welcome.
    pub(crate) fn closed(code: Code, message: String) -> Self {
        match code {
            Code::NOT_AUTHORISED | Code::TOKEN_EXPIRED => Self::NotAuthorised { code, message },
            _ => Self::Refused { code, message },
        }
    }
}

impl From<TransportError> for ConnectError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Tls(error) => Self::Tls(error),
            TransportError::Closed { code, reason, .. } => Self::closed(code, reason),
            error @ TransportError::CertificateRefused { .. } => Self::Certificate(error),
            error => Self::Unreachable(error),
        }
    }
}

impl From<BindError> for ConnectError {
    fn from(error: BindError) -> Self {
        match error {
            BindError::NoRuntime => Self::NoRuntime,
            error => Self::Socket(Arc::new(error)),
        }
    }
}
