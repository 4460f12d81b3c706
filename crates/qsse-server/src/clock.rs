//! The server's clock.

use std::time::{Duration, SystemTime};

use qsse_log::Now;
use qsse_proto::Timestamp;
use tokio::time::Instant;

/// The source of the time of events.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    /// The wall clock at the start, if it is simulated.
    simulated: Option<Timestamp>,
}

impl Clock {
    /// Returns the system's clock.
    pub(crate) fn system() -> Self {
        Self {
            started: Instant::now(),
            simulated: None,
        }
    }

    /// Makes a wall clock that starts at `start` and moves with tokio's, which a test may pause.
    pub fn simulated(start: Timestamp) -> Self {
        Self {
            started: Instant::now(),
            simulated: Some(start),
        }
    }

    /// Returns the time of a publish. Its monotonic part is that of the last `tick`, which saves
    /// reading a second clock: retention looks at ages only once a second.
    pub(crate) fn publishing(&self, tick: Duration) -> Now {
        match self.simulated {
            None => Now {
                wall: Timestamp::from(SystemTime::now()),
                monotonic: tick,
            },
            Some(_) => self.now(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let monotonic = self.started.elapsed();
        let wall = match self.simulated {
            None => Timestamp::from(SystemTime::now()),
            Some(start) => Timestamp::from_micros(start.as_micros() + monotonic.as_micros() as u64),
        };
        Now { wall, monotonic }
    }
}
