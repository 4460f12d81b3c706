//! Certificates and keys in PEM form, with errors that say what was found instead.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::TlsError;
use crate::crypto;

/// PEM text and where it came from.
pub(super) struct Source<'a> {
    pub(super) origin: String,
    pub(super) pem: &'a [u8],
}

/// The file's bytes and its name for messages.
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

/// All certificates of `source`, at least one.
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

/// A chain and its key that belong together.
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
    // The place of the first certificate that the key does not contradict.
    let mut place = None;
    for (i, certificate) in certificates.iter().enumerate() {
        match CertifiedKey::new(vec![certificate.clone()], signing.clone()).keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                place = Some(i);
                break;
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
    match place {
        Some(0) => Ok(Identity {
            certified: Arc::new(CertifiedKey::new(certificates, signing)),
            key: der,
        }),
        Some(place) => Err(TlsError::WrongOrder {
            origin: chain.origin.clone(),
            position: place + 1,
        }),
        None => Err(TlsError::KeyMismatch {
            certificate: chain.origin.clone(),
            key: key.origin.clone(),
        }),
    }
}

/// What a server shows and signs with.
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
                "a section has a BEGIN line and no END line; is the file cut off?".into()
            }
            other => other.to_string(),
        },
    }
}

/// What the file holds, for someone who expected what openssl's command `command` reads.
fn found(pem: &[u8], command: &str) -> String {
    let mut labels: Vec<_> = labels(pem).collect();
    labels.dedup();
    if pem.trim_ascii().is_empty() {
        "it is empty".into()
    } else if is_der(pem) {
        format!(
            "it is in DER form, convert it with `openssl {command} -inform der -in OLD -out NEW`"
        )
    } else if labels.is_empty() {
        "it is not in PEM form".into()
    } else {
        format!("it holds {}", labels.join(", "))
    }
}

/// Whether these bytes begin as certificates and keys in DER form do: a sequence of more than 127 bytes, or a short one
/// that is as long as it says.
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

/// The names in the file's BEGIN lines.
fn labels(pem: &[u8]) -> impl Iterator<Item = String> {
    pem.split(|byte| *byte == b'\n').filter_map(|line| {
        let label = line
            .trim_ascii()
            .strip_prefix(b"-----BEGIN ")?
            .strip_suffix(b"-----")?;
        Some(crate::error::printable(label))
    })
}
