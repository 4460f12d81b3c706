//! The publisher's name for keys if there is no token: one for each user of a machine.

use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::Path;

use qsse_server::transport::tls::dev_cert;
use tracing::Level;

use crate::console::message;

/// The file in the state folder.
const FILE: &str = "publisher";
/// Its length: 32 hexadecimal digits.
const DIGITS: usize = 32;

/// Returns a random name that stays the same for all runs of this user. The first run makes it.
///
/// A server without tokens cannot tell its clients apart, so the deduplication scope of a key is
/// what the client supplies.
pub(super) fn of_this_user() -> String {
    let kept = match dev_cert::state_folder() {
        Some(folder) => kept_in(&folder),
        None => Err(io::Error::other("there is no state folder")),
    };
    kept.unwrap_or_else(|error| {
        let text = format!(
            "--key counts for this run only, as the publisher's name cannot be stored ({error}): set QSSE_STATE_DIR"
        );
        message(Level::WARN, text);
        random()
    })
}

fn kept_in(folder: &Path) -> io::Result<String> {
    let path = folder.join(FILE);
    fs::create_dir_all(folder)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(&path) {
        Ok(mut file) => {
            let name = random();
            file.write_all(name.as_bytes())?;
            file.sync_all()?;
            Ok(name)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let name = fs::read_to_string(&path)?;
            let good = name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            // Another run has just written half of it, or it is damaged.
            let wrong = || io::Error::other(format!("{} has another content", path.display()));
            good.then_some(name).ok_or_else(wrong)
        }
        Err(error) => Err(error),
    }
}

fn random() -> String {
    // Each `RandomState` has keys of its own.
    let half = |half: u8| RandomState::new().hash_one(half);
    format!("{:016x}{:016x}", half(0), half(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_and_a_damaged_one_is_not_replaced() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = kept_in(one.path()).unwrap();
        assert_eq!(
            (name.len(), kept_in(one.path()).unwrap()),
            (DIGITS, name.clone())
        );
        assert_ne!(kept_in(other.path()).unwrap(), name);
        fs::write(one.path().join(FILE), "short").unwrap();
        assert!(kept_in(one.path()).is_err());
    }
}
