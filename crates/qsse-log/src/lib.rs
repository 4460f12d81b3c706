//! The event log of qsse: every event is written once, and a subscription is only a position in it.
//!
//! ```text
//! append ──▶ sequencer ──▶ history          (bounded ring: catching up, resume)
//!                     └──▶ feed per filter  (live tail: sealed batches shared by its readers)
//!                               └──▶ Reader (one position; the delivery loop asks it for the next step)
//! ```
//!
//! Taking sequence numbers, the append to the history and the append to every matching feed are one critical
//! section per call. A [`Reader`] that is inside its feed gets the feed's own bytes; one that fell below
//! it reads the history; one that fell below the history is told so by a gap and goes on from the oldest
//! event kept. A reader that stops reading costs nobody anything.
//!
//! The crate has no socket and no clock: callers pass the time in as [`Now`].
//!
//! ```
//! use qsse_log::{Config, Log, NewEvent, Now, Start, Step};
//! use qsse_proto::Epoch;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let log = Log::new(Epoch::new(7), Config::default());
//! let mut rides = log.reader(&"ride.*".parse()?, Start::Live)?;
//!
//! log.append(Now::default(), NewEvent::new("ride.7.start".try_into()?, b"Ada"))?;
//! log.append(Now::default(), NewEvent::new("weather".try_into()?, b"rain"))?;
//!
//! let mut batches = Vec::new();
//! assert!(matches!(rides.step(64 * 1024, &mut batches), Step::Batches));
//! let events: Vec<_> = batches[0].events(log.epoch()).collect::<Result<_, _>>()?;
//! assert_eq!(events.len(), 1);
//! assert_eq!(&events[0].data()[..], b"Ada");
//! # Ok(())
//! # }
//! ```
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the outputs belong to the program, and printing panics where nobody reads"
)]

mod append;
mod config;
mod contained;
mod dedup;
#[cfg(feature = "disk")]
pub mod disk;
mod encoding;
mod feed;
mod feeds;
mod history;
mod keep;
mod lineage;
mod log;
mod pace;
mod pending;
mod publishers;
mod reader;
mod recent;
mod storage;
mod sync;
mod time;
mod topics;
mod waiters;

pub use append::{AppendError, Appended, Appender, NewEvent};
pub use config::{Config, Retention};
pub use dedup::{Key, Known};
pub use encoding::Encoding;
pub use lineage::{Lineage, Span};
pub use log::{Log, Stats};
pub use pending::Receipt;
pub use publishers::{PublisherKey, Run, Sequence, StoredPublisher};
pub use qsse_proto::control::{OnLag, Start};
pub use reader::{Found, Reader, StartError, Step};
pub use storage::{Acknowledge, Entry, Opened, Storage, StorageError, Stored};
pub use time::{MAX_AHEAD, Now};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
