//! Making, keeping and renewing the development certificate.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::crypto;
use crate::tls::{ServerTls, TlsError, self_signed};

/// A server that starts when less than this is left renews the certificate.
const RENEWED_BEFORE: Duration = Duration::from_secs(90 * 24 * 3600);

/// First line of the file, before the moment the certificate expires in seconds since 1970. PEM
/// readers skip it.
const EXPIRY: &str = "# qsse development certificate, valid until (Unix time): ";

/// The certificate in the file at `path`; made, renewed or repaired when needed; in memory when it
/// cannot be kept.
pub(in crate::tls) fn load_or_make(path: Option<&Path>) -> Result<ServerTls, TlsError> {
    let Some(path) = path else {
        tracing::warn!(
            "there is no folder to keep the development certificate in, so this one is gone at the server's end: set QSSE_STATE_DIR"
        );
        return ServerTls::self_signed([] as [&str; 0]);
    };
    match keep(path) {
        Ok(tls) => Ok(tls),
        Err(Failure::Tls(error)) => Err(error),
        Err(Failure::Io(error)) => {
            tracing::warn!(
                path = %path.display(), %error,
                "the development certificate cannot be kept, so this one is gone at the server's end: make its folder \
                 writable or set QSSE_STATE_DIR"
            );
            ServerTls::self_signed([] as [&str; 0])
        }
    }
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

fn keep(path: &Path) -> Result<ServerTls, Failure> {
    let mut replace = false;
    match fs::read(path) {
        Ok(pem) => match usable(&pem) {
            Some(tls) => return Ok(tls),
            None => replace = true,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let expires = now() + self_signed::LIFETIME;
    let made = self_signed::make(Vec::new()).map_err(Failure::Tls)?;
    let text = format!("{EXPIRY}{}\n{made}", expires.as_secs());
    publish(path, &text, replace)?;
    // Another server may have been first: what counts is what clients read.
    let pem = fs::read(path)?;
    usable(&pem).ok_or_else(|| {
        Failure::Io(io::Error::other(
            "it was changed by another program while being made",
        ))
    })
}

/// The certificate in `pem`, unless it is damaged or due for renewal.
fn usable(pem: &[u8]) -> Option<ServerTls> {
    let first = pem.split(|byte| *byte == b'\n').next()?;
    let expires = std::str::from_utf8(first).ok()?.strip_prefix(EXPIRY)?;
    let expires = Duration::from_secs(expires.trim().parse().ok()?);
    if expires < now() + RENEWED_BEFORE {
        return None;
    }
    ServerTls::pem(pem, pem).ok()
}

/// Puts `text` at `path`, whole or not at all. Without `replace`, a file that is there by now is
/// left alone.
fn publish(path: &Path, text: &str, replace: bool) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        private_folder(folder)?;
    }
    let temporary = Temporary::write(path, text)?;
    if !replace {
        match fs::hard_link(&temporary.0, path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            // A file system without hard links: the last of several servers wins.
            Err(_) => {}
        }
    }
    fs::rename(&temporary.0, path)
}

/// A file beside its destination that is gone when dropped.
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
        // Gone already after a rename.
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
