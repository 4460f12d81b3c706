//! [`Lock`]: a locked directory, and whether it is still there.

use super::IoFile;
use std::io;

/// A directory that stays locked until this is dropped.
///
/// Open files follow a directory that is moved, and outlast one that is removed. Writing and
/// syncing continue without an error, but the next open finds nothing at the path. These methods
/// check whether the names still lead to the open files.
pub trait Lock: Send + Sync {
    /// Returns what is no longer where it was: the directory or the lock in it. `None` also if that
    /// cannot be known.
    fn lost(&self) -> Option<Lost> {
        None
    }

    /// Returns whether a name in the directory leads to nothing or to another file than this.
    /// `false` if that cannot be known.
    fn is_lost(&self, name: &str, file: &dyn IoFile) -> bool {
        let _ = (name, file);
        false
    }
}

/// What was removed while the store was open.
///
/// The text names no path, because clients may see it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The path of the directory leads to nothing or to another directory.
    #[error(
        "its folder was removed, renamed or replaced while it was in use: put the folder back first, or a new store begins there"
    )]
    Directory,
    /// The file of the lock was removed or replaced.
    #[error(
        "{name} in its folder was removed or replaced while it was in use: make sure first that no other program uses the folder"
    )]
    Lock {
        /// The name of the lock's file.
        name: &'static str,
    },
    /// A file that is being written was removed or replaced.
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
    /// It is already locked.
    Held {
        /// The purpose of the holder.
        holder: String,
    },
    /// The system returned an error.
    Io(io::Error),
}
