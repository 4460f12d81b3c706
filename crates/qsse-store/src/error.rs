//! What can go wrong.

use std::io;

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another part of this one, has the directory open.
    #[error("the store is in use by {holder}: stop that one first, or choose another directory")]
    Locked {
        /// What the holder said of itself, [`Options::purpose`](crate::Options::purpose).
        holder: String,
    },
    /// A file was written by an earlier version of this software, in a format that is not read any more.
    #[error(
        "{file} has format version {found}, and this program reads version {known}: begin with a new directory, or use the older program"
    )]
    Older {
        /// The file's name.
        file: String,
        /// The version that it has.
        found: u32,
        /// The version that is read.
        known: u32,
    },
    /// A file was written by a later version of this software.
    #[error(
        "{file} has format version {found}, and this program reads version {known}: use a newer program"
    )]
    Newer {
        /// The file's name.
        file: String,
        /// The version that it has.
        found: u32,
        /// The version that is read.
        known: u32,
    },
    /// Both copies of the file that says which seqs were given out are gone or damaged.
    ///
    /// Going on could give a seq to a second event. Put a copy of `meta.0` back, or move the
    /// directory away and begin a new one, which has a new epoch.
    #[error(
        "both copies of the store's meta file are missing or damaged while there are events: restore meta.0 or begin with a new directory"
    )]
    Meta,
    /// An operation on a file failed.
    #[error("the store could not {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// Why an operation on an open store did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk is full. Nothing of the operation remains; reading goes on, and the same operation
    /// succeeds once there is room.
    #[error("the disk that the store is on is full: make room, or keep less")]
    Full {
        /// What the system says.
        source: io::Error,
    },
    /// An operation on a file failed, and was undone. It may be tried again.
    #[error("the store could not {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody knows any more what is on the disk: a sync failed, or a failed write could not be
    /// undone. Or the directory, its lock or a file that is written to was removed, renamed or replaced, so that the next open would
    /// not find what is written. Nothing is written until the store is opened anew; reading goes on.
    #[error("the store writes no more until it is opened anew: {reason}")]
    Failed {
        /// What happened first.
        reason: String,
    },
    /// An entry that does not follow from what was appended before.
    #[error("this entry cannot be appended: {what}")]
    Entry {
        /// What is wrong with it.
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

/// Whether there was no room, as opposed to anything else.
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
    /// It can.
    #[default]
    Good,
    /// The last write found the disk full; the next one tries again.
    Full,
    /// It writes no more until it is opened anew.
    Failed {
        /// What happened first.
        reason: String,
    },
}
