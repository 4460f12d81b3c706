//! The frames of a subscription's stream, and their decoder.
//!
//! The server opens one unidirectional stream for each subscription. It begins with a
//! [`StreamHeader`], followed by batches, [`Gap`]s, [`Heartbeat`]s and [`EpochChange`]s. The
//! [`Decoder`] enforces this.

mod decoder;
mod epoch;
mod gap;
mod header;
mod heartbeat;
mod input;

use crate::event::Event;
use crate::event_id::{Epoch, EventId};

pub use decoder::Decoder;
pub use epoch::EpochChange;
pub use gap::{Gap, GapReason};
pub use header::{Outcome, StreamHeader};
pub use heartbeat::Heartbeat;

/// An item of a subscription's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// The header, once and first.
    Header(StreamHeader),
    /// An event.
    Event(Event),
    /// Events may be missing. It does not move the position.
    Gap(Gap),
    /// All matching events up to this position have been written.
    Heartbeat(EventId),
    /// The epoch of the following items. It does not move the position.
    Epoch(Epoch),
}
