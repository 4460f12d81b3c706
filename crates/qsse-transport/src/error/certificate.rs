//! [`CertificateProblem`]: why a client refused a server's certificate.

use std::fmt;

use rustls::{CertificateError, OtherError};

use super::text::printable;

/// Why a client refused a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// No issuer that this client trusts has signed it. A self-signed certificate is an example.
    UnknownIssuer,
    /// It is not in the file of trusted certificates, and none of those has signed it.
    NotInFile {
        /// The file.
        file: String,
    },
    /// Its fingerprint is not among the expected ones.
    NotPinned,
    /// It is for other names than the one connected to.
    WrongName {
        /// The name connected to.
        expected: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// It has no names. Names are those in the extension subjectAltName; the subject does not
    /// count.
    NoNames {
        /// The name connected to.
        expected: String,
    },
    /// It has expired.
    Expired,
    /// It is not valid yet, or the clock of this machine is wrong.
    NotYetValid,
    /// It has been revoked.
    Revoked,
    /// Another problem, in words.
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
            // An authority's certificate is usually self-signed, so it has no other issuer.
            problem if is_authority(problem) => Self::UnknownIssuer,
            other => Self::Other(printable(other.to_string().as_bytes())),
        }
    }
}

/// Strips the type name from what the verifier prints, such as `DnsName("a.example")` or
/// `IpAddress(…)`.
fn plain_name(name: &str) -> String {
    let inner = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .unwrap_or(name);
    printable(inner.trim_matches('"').as_bytes())
}

/// The certificate is neither in the file nor signed by one in it. Carries the file's name through
/// rustls.
#[derive(Debug)]
pub(crate) struct NotInFile(pub(crate) String);

impl NotInFile {
    fn of(problem: &CertificateError) -> Option<&Self> {
        match problem {
            CertificateError::Other(OtherError(error)) => error.downcast_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for NotInFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(file) = self;
        write!(
            f,
            "it is neither in {file} nor signed by a certificate in it"
        )
    }
}

impl std::error::Error for NotInFile {}

/// Returns whether the certificate was refused because it is that of an authority, not of a server.
pub(crate) fn is_authority(problem: &CertificateError) -> bool {
    // rustls passes the verifier's error on unchanged. Naming its type would need its crate.
    matches!(problem, CertificateError::Other(error) if error.to_string() == "CaUsedAsEndEntity")
}
