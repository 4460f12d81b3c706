//! Time, passed in by whoever has a clock.

use std::time::Duration;

use qsse_proto::Timestamp;

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The wall clock: the time that events carry. It may jump; an event's time never goes back.
    pub wall: Timestamp,
    /// A monotonic clock, from any fixed start: what ages are measured by.
    pub monotonic: Duration,
}
