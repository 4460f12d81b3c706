//! Files that only their owner may read, written atomically.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::crypto;

/// Writes `text` to `path` atomically. Without `replace`, a file that exists by then is left
/// unchanged.
pub(super) fn publish(path: &Path, text: &str, replace: bool) -> io::Result<()> {
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
