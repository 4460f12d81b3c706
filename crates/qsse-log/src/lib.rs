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
mod backpressure;
mod config;
mod contained;
mod dedup;
#[cfg(feature = "disk")]
pub mod disk;
mod encoding;
mod error;
mod event;
mod feed;
mod feeds;
mod group_commit;
mod history;
mod key;
mod lineage;
mod log;
mod pending;
mod publisher;
mod publishers;
mod read_cache;
mod reader;
mod shared;
mod state;
mod storage;
mod sync;
mod time;
mod topics;
mod waiters;

pub use append::Appender;
pub use config::{Acknowledge, Config, TopicRetention};
pub use encoding::Encoding;
pub use error::{AppendError, StartError};
pub use event::{Appended, NewEvent};
pub use key::{Known, PublishKey};
pub use lineage::{Lineage, Span};
pub use log::{Log, Stats};
pub use pending::Receipt;
pub use publisher::{PublisherId, PublisherRun, PublisherState};
pub use publishers::Sequence;
pub use qsse_proto::control::{OnLag, Start};
pub use reader::{Found, Reader, Step};
pub use storage::{Entry, Recovered, Storage, StorageError, StoredEvents};
pub use time::{MAX_AHEAD, Now};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
