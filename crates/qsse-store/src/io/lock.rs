//! Taking a directory for oneself, and noticing that it is no longer there.

use super::IoFile;
use std::io;

/// A directory that is taken until this is dropped.
///
/// Open files follow a directory that is moved, and outlast one that is removed: writing and syncing go on without an error, but
/// whoever opens the directory by its path finds nothing of it. This asks whether the names still lead to what is open.
pub trait Lock: Send + Sync {
    /// What is no longer where it was: the directory, or the lock in it. `None` where that cannot be known.
    fn lost(&self) -> Option<Lost> {
        None
    }

    /// Whether that name in the directory leads to something else than this file, or to nothing. `false` where that cannot be known.
    fn is_lost(&self, name: &str, file: &dyn IoFile) -> bool {
        let _ = (name, file);
        false
    }
}

/// What was taken away from under an open store.
///
/// Its text names no path, since clients get to see it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The path of the directory leads to nothing, or to another directory.
    #[error(
        "its folder was removed, renamed or replaced while it was in use: put the folder back first, or a new store begins there"
    )]
    Directory,
    /// The lock is gone, or another one is there.
    #[error(
        "{name} in its folder was removed or replaced while it was in use: make sure first that no other program uses the folder"
    )]
    Lock {
        /// The name of the lock's file.
        name: &'static str,
    },
    /// A file that is written to is gone, or another one has its name.
    #[error(
        "{name} in its folder was removed or replaced while it was in use: put that file back first, or events are lost"
    )]
    File {
        /// The name of the file.
        name: String,
    },
}

impl From<Lost> for io::Error {
    fn from(lost: Lost) -> Self {
        Self::other(lost)
    }
}

/// Why a directory was not locked.
#[derive(Debug)]
pub enum LockError {
    /// Someone else has it.
    Held {
        /// What they said of themselves.
        holder: String,
    },
    /// The system refused.
    Io(io::Error),
}
