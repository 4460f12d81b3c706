//! [`TlsError`]: why a TLS configuration could not be made.

use std::io;

/// Why a TLS configuration could not be made. `origin` names the file, or describes what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read {origin}: {}", unreadable(*kind, message))]
    Unreadable {
        /// The file.
        origin: String,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// The system's error.
        message: String,
    },
    /// Certificate and key were given in each other's place.
    #[error("{certificate} contains a key and {key} a certificate: they are swapped")]
    Swapped {
        /// What was given as the certificate.
        certificate: String,
        /// What was given as the key.
        key: String,
    },
    /// The file contains no certificate.
    #[error(
        "no certificate in {origin}: {found}; give the file of the certificate, which has a line \
         BEGIN CERTIFICATE"
    )]
    NoCertificate {
        /// The file.
        origin: String,
        /// What the file contains.
        found: String,
    },
    /// The file contains no private key.
    #[error(
        "no private key in {origin}: {found}; give the file of the key, which has a line BEGIN \
         PRIVATE KEY"
    )]
    NoKey {
        /// The file.
        origin: String,
        /// What the file contains.
        found: String,
    },
    /// The private key is encrypted with a password.
    #[error(
        "the key in {origin} is encrypted: decrypt it with `openssl pkey -in OLD -out NEW` and protect \
         the file by its mode"
    )]
    EncryptedKey {
        /// The file.
        origin: String,
    },
    /// A section of the file is damaged.
    #[error("{origin} is damaged: {problem}")]
    BadPem {
        /// The file.
        origin: String,
        /// What is wrong.
        problem: String,
    },
    /// The key is of an unsupported kind.
    #[error(
        "the key in {origin} cannot be used ({problem}): use an ECDSA P-256, P-384, Ed25519 or RSA key"
    )]
    UnsupportedKey {
        /// The file.
        origin: String,
        /// The crypto provider's error.
        problem: String,
    },
    /// The certificate cannot be used.
    #[error("the certificate in {origin} cannot be used: {problem}")]
    BadCertificate {
        /// The file.
        origin: String,
        /// What is wrong.
        problem: String,
    },
    /// The key belongs to a certificate further down in the file.
    #[error(
        "the certificates in {origin} are in the wrong order: the key belongs to number {position}, \
         which must come first, followed by its issuers"
    )]
    WrongOrder {
        /// The file of the certificates.
        origin: String,
        /// The position of the certificate that the key belongs to, counted from 1.
        position: usize,
    },
    /// The key belongs to none of the certificates.
    #[error(
        "{key} does not contain the key of the certificate in {certificate}: give the two that were \
         made together"
    )]
    KeyMismatch {
        /// The file of the certificate.
        certificate: String,
        /// The file of the key.
        key: String,
    },
    /// There is no certificate to trust.
    #[error("no root certificates were given, so no server could be trusted")]
    NoRoots,
    /// The roots of the operating system cannot be used.
    #[error(
        "cannot use the system's root certificates ({0}): give --ca FILE or a fingerprint instead"
    )]
    PlatformRoots(String),
    /// A caller's rustls configuration cannot be used for QUIC.
    #[error("this TLS configuration cannot be used for QUIC: {0}")]
    Unsuitable(String),
    /// A self-signed certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    SelfSigned(String),
}

fn unreadable(kind: io::ErrorKind, message: &str) -> String {
    match kind {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => {
            "this user may not read it, so check its owner and mode".into()
        }
        io::ErrorKind::IsADirectory => "it is a folder, so give a file in it".into(),
        _ => message.into(),
    }
}
