//! The durable event log of qsse: one sequence of events on disk.
//!
//! Events are written in batches, in the same form as on the wire. Each batch follows a header with
//! its seqs and checksums, and together they are a record. A segment is a file of records. The last
//! segment is being written. The others have an index that says where the events of each topic are.
//! Two small files say which seqs may have been used, and one file has the floor of each topic.
//!
//! # Writing
//! A directory has one [`Store`]. [`append`](Store::append) passes events to the operating system,
//! and [`sync`](Store::sync) makes them durable. Several appends with one sync are a group commit.
//! A seq may be used only after [`reserve`](Store::reserve) or `append` has leased it, so that no
//! seq ever names two events. All calls block, so use a thread for the store.
//!
//! # Reading
//! A [`Reader`] is cheap, and there may be many. [`read`](Reader::read) takes a filter and a
//! position, and returns batches, lost ranges and the next position. Each filter has a floor: a
//! cursor below it gets a gap, because retention has removed events.
//!
//! # Failures
//! - The process or the machine crashes: the torn end is cut off. Seqs continue above the lease,
//!   which leaves a gap.
//! - A write fails, or the disk is full: the append is undone as a whole and may be retried.
//!   Reading continues.
//! - A sync fails: [`StoreError::Failed`] until the store is opened again, which rewrites the end.
//! - The directory, the lock or the last segment is removed or renamed: [`StoreError::Failed`],
//!   before anything else is acknowledged.
//! - A record is damaged: its seqs are reported as lost, and the other records are read.
//! - An index is lost or damaged: it is rebuilt from its segment.
//! - The floors are lost: every cursor gets a gap, and no event is lost.
//! - The keys of removed events are lost: [`Recovered::keys_age`] says that no key is certain.
//! - One meta file is lost or damaged: the other one is used. Both are:
//!   [`OpenError::Meta`], because it is unknown which seqs were used.
//!
//! # Features
//! - `testing`: `io::mem::MemIo`, files in memory that fail and crash on demand.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the outputs belong to the program, and printing panics if they are closed"
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
