//! [`Directory`]: a directory of the system, and whether it is still where it was opened.

#[cfg(unix)]
use super::file::StdFile;
use super::file::id_of;
use crate::io::{IoFile, Lost};
#[cfg(unix)]
use std::fs::File;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::sync::Arc;

/// A directory of the system.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    /// An absolute path, which stays the same if the process changes its working directory.
    pub(super) path: PathBuf,
    /// The open directory, wherever its path leads now. Some systems cannot open a directory.
    #[cfg(unix)]
    pub(super) open: Arc<StdFile>,
    /// Whether an open file has the same id as its name leads to, so that the two can be compared.
    has_ids: bool,
}

impl Directory {
    /// Opens the directory at `path`, and creates it with its parents if it does not exist.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        let mut directory = Self {
            #[cfg(unix)]
            open: Arc::new(StdFile::new(File::open(&path)?)),
            path,
            has_ids: true,
        };
        directory.has_ids = !directory.is_lost();
        Ok(directory)
    }

    /// Returns the options with which the files of the directory are opened.
    pub(super) fn file_options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
    }

    /// Returns whether the path now leads to another directory or to nothing.
    pub(super) fn is_lost(&self) -> bool {
        #[cfg(unix)]
        let open = Some(&*self.open as &dyn IoFile);
        #[cfg(not(unix))]
        let open = None;
        self.leads_elsewhere(&self.path, open)
    }

    /// Returns whether a path leads to nothing or to something else than the open file. Errors of
    /// other kinds are not counted: they may pass, and lose nothing.
    pub(super) fn leads_elsewhere(&self, path: &Path, open: Option<&dyn IoFile>) -> bool {
        let found = fs::metadata(path).map(|found| id_of(&found));
        let same = found.and_then(|found| match (open, found) {
            (Some(open), Some(found)) if self.has_ids => open.is(found),
            _ => Ok(true),
        });
        match same {
            Ok(same) => !same,
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::StaleNetworkFileHandle
            ),
        }
    }

    /// Checks that the path still leads here. Otherwise names would be changed in a directory that
    /// may belong to another store.
    pub(super) fn check_place(&self) -> io::Result<()> {
        if self.is_lost() {
            return Err(Lost::Directory.into());
        }
        Ok(())
    }
}
