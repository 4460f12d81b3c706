//! [`Heartbeat`]: when a stream without events has to report its position.

use std::time::Duration;

use qsse_proto::EventId;
use tokio::time::Instant;

/// The heartbeat of one stream.
pub(crate) struct Heartbeat {
    every: Duration,
    /// The position that the stream has reported last.
    reported: EventId,
    due: Instant,
}

impl Heartbeat {
    pub(crate) fn new(every: Duration, started: EventId) -> Self {
        Self {
            every,
            reported: started,
            due: Instant::now() + every,
        }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether `position` is to be reported now.
    pub(super) fn is_due(&self, position: EventId) -> bool {
        position > self.reported && Instant::now() >= self.due
    }

    /// Notes that the stream reports this position now, by a heartbeat or an event.
    pub(super) fn delivered(&mut self, position: EventId) {
        self.reported = position;
        self.due = Instant::now() + self.every;
    }

    /// Begins a new interval if this one has passed with nothing to report.
    pub(super) fn rang(&mut self, position: EventId) {
        let now = Instant::now();
        if now >= self.due && position == self.reported {
            self.due = now + self.every;
        }
    }
}
