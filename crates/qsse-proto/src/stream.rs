//! What a subscription's stream carries, and how to read it.
//!
//! The server opens one unidirectional stream for each subscription. It begins with a
//! [`StreamHeader`] and goes on with batches, [`Gap`]s, [`Heartbeat`]s and [`EpochChange`]s, as the
//! [`Decoder`] enforces.

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

/// What a subscription's stream says next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// The beginning: once, before all else.
    Header(StreamHeader),
    /// An event.
    Event(Event),
    /// Events that may be missing. It does not move the position.
    Gap(Gap),
    /// Everything up to this position that matches has been written.
    Heartbeat(EventId),
    /// The epoch of the items behind it. It does not move the position.
    Epoch(Epoch),
}
