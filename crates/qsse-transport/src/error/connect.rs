//! [`ConnectError`]: why a connection could not be opened.

use std::net::SocketAddr;
use std::time::Duration;

use qsse_proto::Code;
use qsse_proto::limits::SettingError;

use super::{CertificateProblem, ConnectionError, TlsError};
use crate::fingerprint::Fingerprint;

/// Why a connection could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// This client does not trust the server's certificate.
    #[error(
        "the server's certificate was refused: {problem}{}",
        advice(problem, fingerprint)
    )]
    CertificateRefused {
        /// What is wrong with it.
        problem: CertificateProblem,
        /// The fingerprint of the certificate that the server presented. `None` if the client uses
        /// a rustls configuration of its own.
        fingerprint: Option<Fingerprint>,
    },
    /// A setting is out of its range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The server did not answer, or the handshake did not finish in time.
    #[error(
        "no answer from {address} within {}: is a server running there, and does the network let UDP \
         through?",
        humantime::format_duration(*after)
    )]
    TimedOut {
        /// The address tried.
        address: SocketAddr,
        /// The deadline.
        after: Duration,
    },
    /// The server refused the connection: it is at a limit or shutting down.
    #[error(
        "{address} refused the connection: it is at a limit or shutting down, so try again later"
    )]
    Refused {
        /// The address tried.
        address: SocketAddr,
    },
    /// A QUIC server answered, but it speaks another protocol.
    #[error("{address} does not speak {offered}: is it a qsse server, and recent enough?")]
    AlpnMismatch {
        /// The address tried.
        address: SocketAddr,
        /// The protocols that this client offered.
        offered: String,
    },
    /// The server closed the connection while it was being opened.
    #[error("{address} closed the connection: {code}{}", if reason.is_empty() { String::new() } else { format!(" ({reason})") })]
    Closed {
        /// The address tried.
        address: SocketAddr,
        /// The reason as a number.
        code: Code,
        /// The reason in words; may be empty.
        reason: String,
    },
    /// The server refused a WebTransport session.
    #[error("{address} refused a WebTransport session with the HTTP status {status}")]
    SessionRefused {
        /// The address tried.
        address: SocketAddr,
        /// The status.
        status: u16,
    },
    /// The name is neither a host name nor an IP address.
    #[error("{0:?} is neither a host name nor an IP address")]
    InvalidServerName(String),
    /// The address cannot be reached from this endpoint: its port is 0, or it has another IP
    /// family.
    #[error(
        "cannot connect to {address} from an endpoint on {local}: bind one of the same IP family"
    )]
    InvalidAddress {
        /// The address tried.
        address: SocketAddr,
        /// The endpoint's own address.
        local: SocketAddr,
    },
    /// The endpoint was closed.
    #[error("the client's endpoint is closed")]
    EndpointClosed,
    /// The TLS configuration cannot be used for QUIC.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The handshake failed for another reason.
    #[error("connecting to {address} failed")]
    Failed {
        /// The address tried.
        address: SocketAddr,
        /// The cause.
        source: ConnectionError,
    },
}

impl ConnectError {
    /// Returns whether another attempt may succeed without a change of settings.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Refused { .. } => true,
            Self::Closed { code, .. } => *code == Code::NO_ERROR || code.is_retryable(),
            Self::SessionRefused { status, .. } => matches!(status, 429 | 503),
            Self::Failed { source, .. } => source.is_retryable(),
            _ => false,
        }
    }

    pub(crate) fn from_connection(address: SocketAddr, source: ConnectionError) -> Self {
        match source {
            ConnectionError::Refused => Self::Refused { address },
            ConnectionError::Closed { code, reason } => Self::Closed {
                address,
                code,
                reason,
            },
            source => Self::Failed { address, source },
        }
    }
}

fn advice(problem: &CertificateProblem, fingerprint: &Option<Fingerprint>) -> String {
    // The caller who made the rustls configuration knows how to change it.
    let Some(fingerprint) = fingerprint else {
        return String::new();
    };
    let pinned = format!("qsse://HOST:PORT?fingerprint={}", fingerprint.to_hex());
    let advice = match problem {
        CertificateProblem::NoNames { .. } => {
            "make one with `openssl req -x509 -addext subjectAltName=DNS:NAME` (IP:ADDRESS for an address)"
        }
        CertificateProblem::WrongName { .. } => "connect by a name it has",
        CertificateProblem::NotPinned => "if the server's certificate has changed, pin the new one",
        CertificateProblem::NotInFile { .. } => {
            "give the file of its issuer's certificate or of its own"
        }
        CertificateProblem::Expired => "give the server a new one",
        CertificateProblem::NotYetValid => "set the clock, or give the server a new one",
        _ => "trust its issuer with --ca FILE",
    };
    match problem {
        CertificateProblem::NotPinned => format!("; {advice} in the address, as {pinned}"),
        _ => format!(
            "; {advice}, or, if you trust this server, pin the certificate in the address, as {pinned}"
        ),
    }
}
