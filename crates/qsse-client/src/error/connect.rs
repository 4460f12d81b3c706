//! [`ConnectError`]: why there is no connection.

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

/// Why [`Client::connect`](crate::Client::connect) failed, or why a lost connection could not be made again.
///
/// Cheap to clone: the same error may be the end of many subscriptions.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server's address cannot be read.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A setting is out of its range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The host's name could not be looked up.
    #[error("cannot look up the address of {host}: is the name right, and is there a network?")]
    Resolve {
        /// The name.
        host: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The host's name stands for no address.
    #[error("{host} has no address: is the name right?")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// No UDP socket was to be had.
    #[error("cannot open a UDP socket")]
    Socket(#[source] Arc<BindError>),
    /// Whom to trust could not be set up, for instance because a file of certificates is missing.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The publisher's name is longer than 64 bytes.
    #[error("the publisher's name has {bytes} bytes, and may have 64")]
    PublisherName {
        /// Its length.
        bytes: usize,
    },
    /// Nothing says whom to trust: this build does not know the system's root certificates.
    #[error(
        "nothing says how to recognise the server: give a fingerprint or a file of root certificates (the feature \
         `platform-verifier` trusts the system's)"
    )]
    NobodyTrusted,
    /// A fingerprint was given, perhaps in the server's address, and [`insecure`](crate::Connect::insecure) was called.
    #[error(
        "`insecure` trusts anybody and a fingerprint only one certificate: give one of the two (the server's address may \
         have the fingerprint in it)"
    )]
    InsecureAndFingerprint,
    /// The server's certificate is not one that this client trusts.
    #[error(transparent)]
    Certificate(TransportError),
    /// The server did not answer, turned the client away, or speaks something else.
    #[error(transparent)]
    Unreachable(TransportError),
    /// The server does not speak the dialect that was asked for.
    #[error("{problem}{}", dialect.advice())]
    Dialect {
        /// What was asked for.
        dialect: Dialect,
        /// What the transport says.
        problem: TransportError,
    },
    /// The server did not let the client in within [`Config::connect_timeout`](crate::Config#structfield.connect_timeout).
    #[error(
        "{server} did not answer within {}: is a qsse server running there, and does UDP get through?",
        humantime::format_duration(*after)
    )]
    TimedOut {
        /// Host and port.
        server: String,
        /// The deadline.
        after: Duration,
    },
    /// The token was refused, has expired, or is missing.
    #[error(
        "the server refused the token: {code}{}; give a valid one",
        in_brackets(message)
    )]
    NotAuthorised {
        /// Why, as a number: [`Code::NOT_AUTHORISED`] or [`Code::TOKEN_EXPIRED`].
        code: Code,
        /// Why, in words; may be empty.
        message: String,
    },
    /// The function that gives the token failed.
    #[error("cannot get a token")]
    Token(#[source] Arc<Boxed>),
    /// The token is longer than a server takes.
    #[error(transparent)]
    TokenTooLong(#[from] TokenTooLong),
    /// The server closed the connection before it let the client in.
    #[error("the server closed the connection: {code}{}", in_brackets(message))]
    Refused {
        /// Why, as a number.
        code: Code,
        /// Why, in words; may be empty.
        message: String,
    },
    /// The connection was lost before the server let the client in.
    #[error("the connection was lost before the server answered")]
    Lost(#[source] ConnectionError),
    /// The server's answer cannot be understood.
    #[error(
        "the server's answer cannot be understood: are client and server of versions that fit?"
    )]
    Protocol(#[source] DecodeError),
    /// The server answered with something else than a welcome.
    #[error(
        "the server did not answer with a welcome: are client and server of versions that fit?"
    )]
    NoWelcome,
    /// Called outside a tokio runtime, in which the client's own task is to run.
    #[error("no tokio runtime is running here: connect from within one")]
    NoRuntime,
    /// The client was closed while connecting.
    #[error("the client was closed while it was connecting")]
    Closed,
}

impl ConnectError {
    /// Whether trying again may succeed without anybody changing a setting.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::NoAddress { .. }
            | Self::Socket(_)
            | Self::TimedOut { .. }
            | Self::Token(_) => true,
            Self::Unreachable(error) => error.retryable(),
            Self::Refused { code, .. } => *code == Code::NO_ERROR || code.is_retryable(),
            Self::Lost(error) => error.retryable(),
            _ => false,
        }
    }

    /// Whether a client that was connected before must give up: the token or the certificate is refused, or something of the
    /// client's own is wrong. All else may pass while a server is replaced by another.
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

    /// The token was good once.
    pub(crate) fn is_expiry(&self) -> bool {
        matches!(self, Self::NotAuthorised { code, .. } if *code == Code::TOKEN_EXPIRED)
    }

    /// The same, with what to do where the server does not speak what was offered.
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

    /// The server closed the connection before its welcome, or it was lost.
    pub(crate) fn before_welcome(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Closed { code, reason } => Self::closed(code, reason),
            error => Self::Lost(error),
        }
    }

    /// A close by the server, before or in the handshake.
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
