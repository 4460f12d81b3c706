//! The errors of a store.

use std::io;

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory is already open, in another process or in this one.
    #[error("the store is in use by {holder}: stop that one first, or choose another directory")]
    Locked {
        /// The [`Options::purpose`](crate::Options::purpose) of the holder.
        holder: String,
    },
    /// A file has the format of an earlier version, which this version does not read.
    #[error(
        "{file} has format version {found}, and this program reads version {known}: begin with a new directory, or use the older program"
    )]
    Older {
        /// The file's name.
        file: String,
        /// The version of the file.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// A file has the format of a later version.
    #[error(
        "{file} has format version {found}, and this program reads version {known}: use a newer program"
    )]
    Newer {
        /// The file's name.
        file: String,
        /// The version of the file.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// Both copies of the file that records the used seqs are missing or damaged.
    ///
    /// Continuing could assign a seq to a second event. Restore a copy of `meta.0`, or move the
    /// directory away and begin with a new one, which gets a new epoch.
    #[error(
        "both copies of the store's meta file are missing or damaged while there are events: restore meta.0 or begin with a new directory"
    )]
    Meta,
    /// An operation on a file failed.
    #[error("the store could not {what}")]
    Io {
        /// The operation.
        what: &'static str,
        /// The error of the system.
        source: io::Error,
    },
}

/// Why an operation on an open store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk is full. The operation was undone, reading continues, and the same operation
    /// succeeds once there is room.
    #[error("the disk that the store is on is full: make room, or retain less")]
    Full {
        /// The error of the system.
        source: io::Error,
    },
    /// An operation on a file failed and was undone. It may be retried.
    #[error("the store could not {what}")]
    Io {
        /// The operation.
        what: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// The state of the disk is unknown, because a sync failed or a failed write could not be
    /// undone. Or the directory, its lock or a file that is being written was removed, renamed or
    /// replaced, so that the next open would not find what is written. Nothing is written until the
    /// store is opened again; reading continues.
    #[error("the store does not write until it is opened again: {reason}")]
    Failed {
        /// The first failure.
        reason: String,
    },
    /// The entry does not fit what was appended before.
    #[error("this entry cannot be appended: {what}")]
    Entry {
        /// The reason.
        what: &'static str,
    },
}

impl OpenError {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

impl StoreError {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            if is_full(&source) {
                Self::Full { source }
            } else {
                Self::Io { what, source }
            }
        }
    }
}

/// Returns whether an operation failed because there was no room.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Whether a store can take events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It can take events.
    #[default]
    Good,
    /// The last write found the disk full. The next write tries again.
    Full,
    /// It does not write until it is opened again.
    Failed {
        /// The first failure.
        reason: String,
    },
}
