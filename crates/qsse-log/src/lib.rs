//! The event log of qsse: every event is written once, and a subscription is a position in it.
//!
//! ```text
//! append ──▶ sequencer ──▶ history          (bounded ring, for resuming and catching up)
//!                     └──▶ feed per filter  (live tail: sealed batches that its readers share)
//!                               └──▶ Reader (one position; gives the delivery loop its next step)
//! ```
//!
//! One critical section assigns the seq of an event and appends it to the history and to each
//! matching feed. A [`Reader`] inside its feed gets the bytes of the feed. A reader below its feed
//! reads the history. A reader below the history gets a gap and continues with the oldest retained
//! event. A reader that stops reading costs nothing.
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
    reason = "the outputs belong to the program, and printing panics if they are closed"
)]

mod append;
mod backpressure;
mod batches;
mod budget;
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
mod stats;
mod storage;
mod sync;
mod time;
mod topics;
mod waiters;

pub use append::Appender;
pub use budget::{Budget, Charge};
pub use config::{Acknowledge, Config, TopicRetention};
pub use encoding::Encoding;
pub use error::{AppendError, StartError};
pub use event::{Appended, NewEvent};
pub use key::{Known, PublishKey};
pub use lineage::{Lineage, Span};
pub use log::{Log, TopicStats};
pub use pending::Receipt;
pub use publisher::{PublisherId, PublisherRun, PublisherState};
pub use publishers::Sequence;
pub use qsse_proto::control::{OnLag, Start};
pub use reader::{Found, Reader, Step};
pub use state::Shed;
pub use stats::Stats;
pub use storage::{Entry, Recovered, Storage, StorageError, StoredEvents};
pub use time::{MAX_AHEAD, Now};
pub use topics::Owner;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
