//! The development certificate on disk: made, stored and renewed.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::crypto;
use crate::error::TlsError;
use crate::tls::pem::{self, Identity};
use crate::tls::self_signed;

/// The remaining lifetime below which a server that starts renews the certificate.
const RENEWED_BEFORE: Duration = Duration::from_secs(90 * 24 * 3600);

/// The first line of the file, followed by the certificate's expiry in seconds since 1970. PEM
/// readers skip it.
const EXPIRY: &str = "# qsse development certificate, valid until (Unix time): ";

/// Returns the certificate in the file at `path`. Makes, renews or repairs it if needed; makes one
/// in memory if it cannot be stored.
pub(in crate::tls) fn load_or_make(path: Option<&Path>) -> Result<Identity, TlsError> {
    let Some(path) = path else {
        tracing::warn!(
            "there is no folder for the development certificate, so clients must trust a new one \
             after each start: set QSSE_STATE_DIR"
        );
        return in_memory();
    };
    match load_or_store(path) {
        Ok(identity) => Ok(identity),
        Err(Failure::Tls(error)) => Err(error),
        Err(Failure::Io(error)) => {
            tracing::warn!(
                path = %path.display(), %error,
                "the development certificate cannot be stored, so clients must trust a new one \
                 after each start: make its folder writable or set QSSE_STATE_DIR"
            );
            in_memory()
        }
    }
}

fn in_memory() -> Result<Identity, TlsError> {
    let made = self_signed::make(Vec::new())?;
    pem::identity_in(made.as_bytes())
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

fn load_or_store(path: &Path) -> Result<Identity, Failure> {
    let mut replace = false;
    match fs::read(path) {
        Ok(pem) => match usable(&pem) {
            Some(identity) => return Ok(identity),
            None => replace = true,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let expires = now() + self_signed::LIFETIME;
    let made = self_signed::make(Vec::new()).map_err(Failure::Tls)?;
    let text = format!("{EXPIRY}{}\n{made}", expires.as_secs());
    publish(path, &text, replace)?;
    // Another server may have stored one first. Clients read the file, so the file counts.
    let pem = fs::read(path)?;
    usable(&pem).ok_or_else(|| {
        Failure::Io(io::Error::other(
            "another program changed it while it was being made",
        ))
    })
}

/// Returns the certificate in `pem`, unless it is damaged or due for renewal.
fn usable(pem: &[u8]) -> Option<Identity> {
    let first = pem.split(|byte| *byte == b'\n').next()?;
    let expires = std::str::from_utf8(first).ok()?.strip_prefix(EXPIRY)?;
    let expires = Duration::from_secs(expires.trim().parse().ok()?);
    if expires < now() + RENEWED_BEFORE {
        return None;
    }
    pem::identity_in(pem).ok()
}

/// Writes `text` to `path` atomically. Without `replace`, a file that exists by then is left
/// unchanged.
fn publish(path: &Path, text: &str, replace: bool) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        private_folder(folder)?;
    }
    let temporary = Temporary::write(path, text)?;
    if !replace {
        match fs::hard_link(&temporary.0, path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            // The file system has no hard links: the last of several servers wins.
            Err(_) => {}
        }
    }
    fs::rename(&temporary.0, path)
}

/// A file beside its destination. It is removed on drop.
struct Temporary(PathBuf);

impl Temporary {
    fn write(destination: &Path, text: &str) -> io::Result<Self> {
        let unique = u64::from_le_bytes(crypto::random());
        let temporary = Self(destination.with_extension(format!("{unique:016x}.tmp")));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary.0)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(temporary)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename it no longer exists.
        let _ = fs::remove_file(&self.0);
    }
}

fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
