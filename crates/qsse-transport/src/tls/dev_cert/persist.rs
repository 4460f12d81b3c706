//! The development certificate on disk: made, stored and renewed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::TlsError;
use crate::tls::browsers::own_part;
use crate::tls::pem::{self, Identity};
use crate::tls::private_file::publish;
use crate::tls::self_signed;

/// The remaining lifetime below which a server that starts renews the certificate.
const RENEWED_BEFORE: Duration = Duration::from_secs(90 * 24 * 3600);

/// The first line of the file, followed by the certificate's expiry in seconds since 1970. PEM
/// readers skip it.
const EXPIRY: &str = "# qsse development certificate, valid until (Unix time): ";

/// A certificate of this crate's making.
pub(in crate::tls) struct Made {
    pub(in crate::tls) identity: Identity,
    /// The certificate and its key, and then those for browsers, if there are any.
    pub(in crate::tls) text: String,
    /// Where it is stored.
    pub(in crate::tls) file: Option<PathBuf>,
}

/// Returns the certificate in the file at `path`. Makes, renews or repairs it if needed; makes one
/// in memory if it cannot be stored.
pub(in crate::tls) fn load_or_make(path: Option<&Path>) -> Result<Made, TlsError> {
    let Some(path) = path else {
        tracing::warn!(
            "there is no folder for the development certificate, so clients must trust a new one \
             after each start: set QSSE_STATE_DIR"
        );
        return in_memory(&[]);
    };
    match load_or_store(path) {
        Ok(made) => Ok(made),
        Err(Failure::Tls(error)) => Err(error),
        Err(Failure::Io(error)) => {
            tracing::warn!(
                path = %path.display(), %error,
                "the development certificate cannot be stored, so clients must trust a new one \
                 after each start: make its folder writable or set QSSE_STATE_DIR"
            );
            in_memory(&[])
        }
    }
}

/// Makes a certificate that is stored nowhere.
pub(in crate::tls) fn in_memory(names: &[String]) -> Result<Made, TlsError> {
    let text = self_signed::make(names)?;
    Ok(Made {
        identity: pem::identity_in(text.as_bytes())?,
        text,
        file: None,
    })
}

enum Failure {
    Io(io::Error),
    Tls(TlsError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn load_or_store(path: &Path) -> Result<Made, Failure> {
    let mut replace = false;
    match fs::read(path) {
        Ok(pem) => match usable(path, pem) {
            Some(made) => return Ok(made),
            None => replace = true,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let expires = now() + self_signed::LIFETIME;
    let made = self_signed::make(&[]).map_err(Failure::Tls)?;
    let text = format!("{EXPIRY}{}\n{made}", expires.as_secs());
    publish(path, &text, replace)?;
    // Another server may have stored one first. Clients read the file, so the file counts.
    let pem = fs::read(path)?;
    usable(path, pem).ok_or_else(|| {
        Failure::Io(io::Error::other(
            "another program changed it while it was being made",
        ))
    })
}

/// Returns the certificate in `pem`, unless it is damaged or due for renewal.
fn usable(path: &Path, pem: Vec<u8>) -> Option<Made> {
    let text = String::from_utf8(pem).ok()?;
    let expires = text.lines().next()?.strip_prefix(EXPIRY)?;
    let expires = Duration::from_secs(expires.trim().parse().ok()?);
    if expires < now() + RENEWED_BEFORE {
        return None;
    }
    let identity = pem::identity_in(own_part(&text).as_bytes()).ok()?;
    let file = Some(path.to_owned());
    Some(Made {
        identity,
        text,
        file,
    })
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
