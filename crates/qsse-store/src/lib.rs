//! The durable event log of qsse: one sequence of events on disk.
//!
//! Events are written in batches, exactly as they go over the wire, each behind a header with its seqs
//! and checksums. A run of such records is a segment file; the last segment is written to, the others
//! have an index that says where each topic's events are. Two small files say which seqs may have been
//! given out, and one says up to where each topic's events were removed.
//!
//! # Writing
//! There is one [`Store`] of a directory. [`append`](Store::append) hands events to the operating
//! system, [`sync`](Store::sync) makes them last: several appends, one sync is a group commit. A seq is
//! told to anyone only after [`reserve`](Store::reserve) or `append` has leased it, so that no seq ever
//! names two events. All calls block; give the store a thread of its own.
//!
//! # Reading
//! A [`Reader`] is cheap, and there may be many. [`read`](Reader::read) takes a filter and a position and
//! gives batches, what is lost, and the next position. What retention removed is told by a floor for
//! each filter: a cursor below it meets a gap.
//!
//! # What may go wrong
//! | what | then |
//! |---|---|
//! | the process or the machine dies | the torn end is cut off; seqs go on above the lease, and the gap is told |
//! | a write fails, or the disk is full | the append is undone as a whole and may be tried again; reading goes on |
//! | a sync fails | [`StoreError::Failed`] until the store is opened anew, which writes the end once more |
//! | the directory, the lock or the last segment is removed or renamed | [`StoreError::Failed`], before anything more is acknowledged |
//! | a record is damaged | its seqs are lost, and told; those around it are read |
//! | an index is lost or damaged | it is made anew from its segment |
//! | the floors are lost | every cursor meets a gap; no event is lost |
//! | the keys of removed events are lost | [`Recovered::keys_age`] says that none may be relied on |
//! | one meta file is lost or damaged | the other one is as good |
//! | both are | [`OpenError::Meta`]: nobody knows which seqs were given out |
//!
//! # Features
//! - `testing`: `io::mem::MemIo`, files in memory that fail and crash on demand.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the outputs belong to the program, and printing panics where nobody reads"
)]

mod entry;
mod error;
mod floors;
mod format;
mod index;
pub mod io;
mod keys;
mod lost;
mod meta;
mod options;
mod publishers;
mod read;
mod recover;
mod scan;
mod segment;
mod since;
mod state;
mod store;

pub use entry::{Entry, KEY_BYTES, PublishKey, PublisherRun};
pub use error::{Health, OpenError, StoreError};
pub use io::{Io, IoFile, StdIo};
pub use options::{Age, Options, Retention, TopicRetention};
pub use publishers::PublisherState;
pub use read::{Reader, StoredEvents};
pub use recover::Recovered;
pub use store::{Store, Trimmed};

/// The README's example, compiled and run with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
