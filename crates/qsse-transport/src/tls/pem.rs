//! Certificates and keys in PEM form. Errors tell what was found instead.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys};

use crate::crypto;
use crate::error::{TlsError, printable};

/// PEM text, and where it came from.
pub(super) struct Source<'a> {
    pub(super) origin: String,
    pub(super) pem: &'a [u8],
}

/// Reads a file. Returns its name for messages, and its bytes.
pub(super) fn read(path: &Path) -> Result<(String, Vec<u8>), TlsError> {
    let origin = path.display().to_string();
    match fs::read(path) {
        Ok(bytes) => Ok((origin, bytes)),
        Err(error) => Err(TlsError::Unreadable {
            origin,
            kind: error.kind(),
            message: error.to_string(),
        }),
    }
}

/// Parses all certificates of `source`, at least one.
pub(super) fn certificates(source: &Source<'_>) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(source.pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| damaged(source, &error))?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate {
            origin: source.origin.clone(),
            found: found(source.pem, "x509"),
        });
    }
    Ok(certificates)
}

/// Parses a chain and its key, and checks that they belong together.
pub(super) fn identity(chain: &Source<'_>, key: &Source<'_>) -> Result<Identity, TlsError> {
    if !has_certificate(chain.pem)
        && has_key(chain.pem)
        && !has_key(key.pem)
        && has_certificate(key.pem)
    {
        return Err(TlsError::Swapped {
            certificate: chain.origin.clone(),
            key: key.origin.clone(),
        });
    }
    let certificates = certificates(chain)?;
    let der = private_key(key)?;
    let signing = crypto::provider()
        .key_provider
        .load_private_key(der.clone_key())
        .map_err(|error| TlsError::UnsupportedKey {
            origin: key.origin.clone(),
            problem: error.to_string(),
        })?;
    match position_of_key(&certificates, &signing, chain)? {
        Some(0) => Ok(Identity {
            certified: Arc::new(CertifiedKey::new(certificates, signing)),
            key: der,
        }),
        Some(index) => Err(TlsError::WrongOrder {
            origin: chain.origin.clone(),
            position: index + 1,
        }),
        None => Err(TlsError::KeyMismatch {
            certificate: chain.origin.clone(),
            key: key.origin.clone(),
        }),
    }
}

/// Returns the index of the first certificate that does not contradict the key.
fn position_of_key(
    certificates: &[CertificateDer<'static>],
    signing: &Arc<dyn SigningKey>,
    chain: &Source<'_>,
) -> Result<Option<usize>, TlsError> {
    for (index, certificate) in certificates.iter().enumerate() {
        match CertifiedKey::new(vec![certificate.clone()], signing.clone()).keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                return Ok(Some(index));
            }
            Err(Error::InconsistentKeys(_)) => {}
            Err(error) => {
                return Err(TlsError::BadCertificate {
                    origin: chain.origin.clone(),
                    problem: error.to_string(),
                });
            }
        }
    }
    Ok(None)
}

/// Reads chain and key from one PEM text in memory.
#[cfg(feature = "self-signed")]
pub(super) fn identity_in(pem: &[u8]) -> Result<Identity, TlsError> {
    identity_from(pem, pem)
}

/// Reads chain and key from PEM texts in memory.
pub(super) fn identity_from(certificate: &[u8], key: &[u8]) -> Result<Identity, TlsError> {
    identity(
        &Source {
            origin: "the given certificate".into(),
            pem: certificate,
        },
        &Source {
            origin: "the given key".into(),
            pem: key,
        },
    )
}

/// The chain that a server presents and the key that it signs with.
pub(super) struct Identity {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) key: PrivateKeyDer<'static>,
}

fn private_key(source: &Source<'_>) -> Result<PrivateKeyDer<'static>, TlsError> {
    match PrivateKeyDer::from_pem_slice(source.pem) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound)
            if labels(source.pem).any(|l| l == "ENCRYPTED PRIVATE KEY") =>
        {
            Err(TlsError::EncryptedKey {
                origin: source.origin.clone(),
            })
        }
        Err(pem::Error::NoItemsFound) => Err(TlsError::NoKey {
            origin: source.origin.clone(),
            found: found(source.pem, "pkey"),
        }),
        Err(error) => Err(damaged(source, &error)),
    }
}

fn damaged(source: &Source<'_>, error: &pem::Error) -> TlsError {
    TlsError::BadPem {
        origin: source.origin.clone(),
        problem: match error {
            pem::Error::MissingSectionEnd { .. } => {
                "a section has a BEGIN line but no END line; is the file cut off?".into()
            }
            other => other.to_string(),
        },
    }
}

/// Describes what the file contains, for a reader who expected input of openssl's command
/// `command`.
fn found(pem: &[u8], command: &str) -> String {
    let mut labels: Vec<_> = labels(pem).collect();
    labels.dedup();
    if pem.trim_ascii().is_empty() {
        "it is empty".into()
    } else if is_der(pem) {
        format!(
            "it is in DER form, so convert it with `openssl {command} -inform der -in OLD -out NEW`"
        )
    } else if labels.is_empty() {
        "it is not in PEM form".into()
    } else {
        format!("it holds {}", labels.join(", "))
    }
}

/// Returns whether these bytes begin like a certificate or key in DER form: with a sequence of more
/// than 127 bytes, or a shorter one whose length is right.
fn is_der(bytes: &[u8]) -> bool {
    match bytes {
        [0x30, 0x81..=0x84, ..] => true,
        [0x30, len, rest @ ..] => usize::from(*len) == rest.len(),
        _ => false,
    }
}

fn has_certificate(pem: &[u8]) -> bool {
    labels(pem).any(|label| label == "CERTIFICATE")
}

fn has_key(pem: &[u8]) -> bool {
    labels(pem).any(|label| label.ends_with("PRIVATE KEY"))
}

/// Returns the names in the file's BEGIN lines.
fn labels(pem: &[u8]) -> impl Iterator<Item = String> {
    pem.split(|byte| *byte == b'\n').filter_map(|line| {
        let label = line
            .trim_ascii()
            .strip_prefix(b"-----BEGIN ")?
            .strip_suffix(b"-----")?;
        Some(printable(label))
    })
}
