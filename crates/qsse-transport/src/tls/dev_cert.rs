//! The development certificate: one self-signed certificate per user, in the user's state folder.
//!
//! A server without a certificate of its own presents it (`ServerTls::dev_cert`). A client on the
//! same machine that can read the folder trusts it by its fingerprint. The folder is
//! `$QSSE_STATE_DIR`, else `$XDG_STATE_HOME/qsse`, else `~/.local/state/qsse`.
//!
//! One file contains certificate and key, so they always match, and only its owner may read it. The
//! first server makes it atomically, so several may start at once. A server that starts in the
//! certificate's last 90 days renews it.
//!
//! Behind it the file has two certificates for browsers, with the same key. They are valid for less
//! than 14 days, as browsers demand of one that a page trusts by its hash, and are presented to
//! clients of HTTP/3 only. The server renews them as it runs.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::fingerprint::Fingerprint;

#[cfg(feature = "self-signed")]
mod persist;
mod trust;

#[cfg(feature = "self-signed")]
pub(super) use persist::{Made, in_memory, load_or_make};
pub(super) use trust::OrDevCert;

/// The file's name in the state folder.
const FILE: &str = "dev-cert.pem";

/// Returns the path of the development certificate, whether it exists or not; `None` if the user
/// has no home folder.
pub fn path() -> Option<PathBuf> {
    state_folder().map(path_in)
}

/// Returns the folder in which a user's programs store their state; `None` if the user has no home
/// folder.
pub fn state_folder() -> Option<PathBuf> {
    folder(|name| std::env::var_os(name), std::env::home_dir())
}

/// Returns the path that it would have in `folder`.
pub fn path_in(folder: impl AsRef<Path>) -> PathBuf {
    folder.as_ref().join(FILE)
}

/// Returns the fingerprint of the development certificate; `None` if there is none that this user
/// may read.
pub fn fingerprint() -> Option<Fingerprint> {
    fingerprint_of(&path()?)
}

/// Returns the fingerprint of the development certificate in `folder`.
pub fn fingerprint_in(folder: impl AsRef<Path>) -> Option<Fingerprint> {
    fingerprint_of(&path_in(folder))
}

fn fingerprint_of(path: &Path) -> Option<Fingerprint> {
    fingerprints_of(path).into_iter().next()
}

/// Returns the fingerprints of the certificate in this file and of those for browsers.
fn fingerprints_of(path: &Path) -> Vec<Fingerprint> {
    let pem = fs::read(path).unwrap_or_default();
    let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
    certificates.map(|one| Fingerprint::of(&one)).collect()
}

fn folder(env: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let set = |name| {
        env(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("QSSE_STATE_DIR")
        // The XDG specification says that relative paths are ignored.
        .or_else(|| {
            set("XDG_STATE_HOME")
                .filter(|path| path.is_absolute())
                .map(|path| path.join("qsse"))
        })
        .or_else(|| {
            home.filter(|home| !home.as_os_str().is_empty())
                .map(|home| home.join(".local/state/qsse"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_follows_the_environment() {
        let find = |set: &[(&str, &str)], home: Option<&str>| {
            let set: Vec<_> = set.to_vec();
            folder(
                move |name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into()),
                home.map(PathBuf::from),
            )
        };
        let (ours, xdg) = (("QSSE_STATE_DIR", "here"), ("XDG_STATE_HOME", "/xdg"));
        assert_eq!(find(&[ours, xdg], Some("/home/ada")), Some("here".into()));
        assert_eq!(find(&[xdg], Some("/home/ada")), Some("/xdg/qsse".into()));
        let home = Some(PathBuf::from("/home/ada/.local/state/qsse"));
        assert_eq!(
            find(&[("XDG_STATE_HOME", "relative")], Some("/home/ada")),
            home
        );
        assert_eq!(find(&[("QSSE_STATE_DIR", "")], Some("/home/ada")), home);
        assert_eq!(find(&[], None), None);
    }
}
