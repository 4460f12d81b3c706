//! Files of the system.

mod directory;
mod file;
mod lock;

use super::{Io, IoFile, Lock, LockError};
use directory::Directory;
use file::StdFile;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory of the system that only its owner can read.
#[derive(Clone, Debug)]
pub struct StdIo(Directory);

impl StdIo {
    /// Opens the directory at `path`, and creates it with its parents if it does not exist. A new
    /// directory is open to its owner alone (mode 0700), and so are all files in it (0600).
    ///
    /// # Errors
    /// The error of the system.
    pub fn new(path: impl Into<PathBuf>) -> io::Result<Self> {
        Directory::open(path.into()).map(Self)
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.0.path.join(name)
    }
}

impl Io for StdIo {
    fn create(&self, name: &str) -> io::Result<Arc<dyn IoFile>> {
        self.0.check_place()?;
        let file = Directory::file_options()
            .create(true)
            .truncate(true)
            .open(self.path_of(name))?;
        Ok(Arc::new(StdFile::new(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn IoFile>> {
        let file = Directory::file_options().open(self.path_of(name))?;
        Ok(Arc::new(StdFile::new(file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.check_place()?;
        fs::remove_file(self.path_of(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.check_place()?;
        fs::rename(self.path_of(from), self.path_of(to))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0.path)? {
            // The names of a store's files are all text.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        // Other systems cannot sync a directory and do not need to.
        #[cfg(unix)]
        self.0.open.file.sync_all()?;
        Ok(())
    }

    fn lock(&self, purpose: &str) -> Result<Box<dyn Lock>, LockError> {
        lock::lock(&self.0, purpose)
    }
}
