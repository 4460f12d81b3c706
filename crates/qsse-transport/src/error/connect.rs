//! [`ConnectError`]: why a connection could not be opened.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use qsse_proto::Code;
use qsse_proto::limits::SettingError;
use rustls::CertificateError;

use super::ConnectionError;
use crate::tls::{Fingerprint, NotInFile, TlsError, is_authority};

/// Why a connection could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server's certificate is not one that this client trusts.
    #[error(
        "the server's certificate was refused: {problem}{}",
        advice(problem, fingerprint)
    )]
    CertificateRefused {
        /// What is wrong with it.
        problem: CertificateProblem,
        /// The fingerprint of the certificate that was shown. Unknown when the rustls configuration
        /// was handed in.
        fingerprint: Option<Fingerprint>,
    },
    /// A setting is out of its range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Nothing answered, or not to the end.
    #[error(
        "no answer from {address} within {}: is a server running there, and does UDP get through?",
        humantime::format_duration(*after)
    )]
    TimedOut {
        /// The address tried.
        address: SocketAddr,
        /// The deadline.
        after: Duration,
    },
    /// The server turned the connection away: it is at a limit or shutting down.
    #[error(
        "{address} refused the connection: it is at its limit or shutting down, try again later"
    )]
    Refused {
        /// The address tried.
        address: SocketAddr,
    },
    /// A QUIC server answered, but it speaks another protocol.
    #[error("{address} does not speak {offered}: is it a qsse server, and not too old?")]
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
        /// Why, as a number.
        code: Code,
        /// Why, in words; may be empty.
        reason: String,
    },
    /// The name is neither a host name nor an IP address.
    #[error("{0:?} is neither a host name nor an IP address")]
    InvalidServerName(String),
    /// The address cannot be reached from this endpoint: its port is 0, or it is of another IP
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
        /// What happened.
        source: ConnectionError,
    },
}

impl ConnectError {
    /// Whether trying again may succeed without anybody changing a setting.
    pub fn retryable(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Refused { .. } => true,
            Self::Closed { code, .. } => *code == Code::NO_ERROR || code.is_retryable(),
            Self::Failed { source, .. } => source.retryable(),
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

/// What a client has against a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// Nobody that this client trusts has signed it; a self-signed certificate for instance.
    UnknownIssuer,
    /// The certificates to trust were given in a file: it is not in the file, and none of those there has signed it.
    NotInFile {
        /// The file.
        file: String,
    },
    /// Fingerprints were given, and its is not among them.
    NotPinned,
    /// It is for other names than the one connected to.
    WrongName {
        /// The name connected to.
        expected: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// It has no names at all. Its subject is not one: names are in the extension subjectAltName.
    NoNames {
        /// The name connected to.
        expected: String,
    },
    /// Its time is over.
    Expired,
    /// Its time has not come; or the clock of this machine is wrong.
    NotYetValid,
    /// It has been revoked.
    Revoked,
    /// Anything else, in words.
    Other(String),
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIssuer => f.write_str("it is not signed by anyone this client trusts"),
            Self::NotInFile { file } => {
                write!(
                    f,
                    "it is neither in {file} nor signed by a certificate in it"
                )
            }
            Self::NotPinned => f.write_str("its fingerprint is not the expected one"),
            Self::WrongName {
                expected,
                presented,
            } if presented.is_empty() => write!(f, "it is not for {expected}"),
            Self::WrongName {
                expected,
                presented,
            } => write!(f, "it is for {}, not for {expected}", presented.join(", ")),
            Self::NoNames { expected } => write!(
                f,
                "it is not for {expected}: it has no subjectAltName, and its common name does not count"
            ),
            Self::Expired => f.write_str("it has expired"),
            Self::NotYetValid => {
                f.write_str("it is not valid yet (is this machine's clock right?)")
            }
            Self::Revoked => f.write_str("it has been revoked"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl From<&rustls::Error> for CertificateProblem {
    fn from(error: &rustls::Error) -> Self {
        use CertificateError as E;
        let rustls::Error::InvalidCertificate(error) = error else {
            return Self::Other(error.to_string());
        };
        if let Some(NotInFile(file)) = NotInFile::of(error) {
            return Self::NotInFile { file: file.clone() };
        }
        match error {
            E::UnknownIssuer => Self::UnknownIssuer,
            E::ApplicationVerificationFailure => Self::NotPinned,
            E::NotValidForName => Self::WrongName {
                expected: "the name connected to".into(),
                presented: Vec::new(),
            },
            E::NotValidForNameContext {
                expected,
                presented,
            } if presented.is_empty() => Self::NoNames {
                expected: expected.to_str().into_owned(),
            },
            E::NotValidForNameContext {
                expected,
                presented,
            } => Self::WrongName {
                expected: expected.to_str().into_owned(),
                presented: presented.iter().map(|name| plain_name(name)).collect(),
            },
            E::Expired | E::ExpiredContext { .. } => Self::Expired,
            E::NotValidYet | E::NotValidYetContext { .. } => Self::NotYetValid,
            E::Revoked => Self::Revoked,
            // Nobody need have signed it: an authority signs its own.
            problem if is_authority(problem) => Self::UnknownIssuer,
            other => Self::Other(super::printable(other.to_string().as_bytes())),
        }
    }
}

/// `DnsName("a.example")` and `IpAddress(…)` as the verifier gives them, without its type names.
fn plain_name(name: &str) -> String {
    let inner = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .unwrap_or(name);
    super::printable(inner.trim_matches('"').as_bytes())
}

fn advice(problem: &CertificateProblem, fingerprint: &Option<Fingerprint>) -> String {
    // Whoever handed a configuration in knows how it is set.
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
