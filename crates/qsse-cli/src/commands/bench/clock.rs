//! [`Clock`]: one clock for all times of a run, and the part of the run that is measured.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The start in nanoseconds since 1970 by the wall clock. Later corrections of that clock have no
/// effect in this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    begun: Instant,
    begun_unix: u64,
    /// The start and the end of the measured part.
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Clock {
    /// Starts the clock. The measured part begins after `warmup`.
    pub(super) fn start(warmup: Duration, duration: Duration) -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        let begun_unix = unix.map_or(0, nanos);
        let from = begun_unix.saturating_add(nanos(warmup));
        Self {
            begun: Instant::now(),
            begun_unix,
            from,
            to: from.saturating_add(nanos(duration)),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.at(self.begun.elapsed())
    }

    /// Returns the time at this offset from the start.
    pub(super) fn at(&self, after: Duration) -> u64 {
        self.begun_unix.saturating_add(nanos(after))
    }

    /// Returns how long the run has lasted so far.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Returns the total length of the run.
    pub(super) fn whole(&self) -> Duration {
        Duration::from_nanos(self.to.saturating_sub(self.begun_unix))
    }

    /// Returns when an event is due at a rate of so many per second.
    pub(super) fn due(&self, event: u64, rate: u64) -> u64 {
        let nanos = u128::from(event) * 1_000_000_000 / u128::from(rate.max(1));
        self.begun_unix
            .saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_due_evenly_from_the_start_and_count_after_the_warm_up() {
        let second = Duration::from_secs(1);
        let clock = Clock::start(second, 2 * second);
        let start = clock.at(Duration::ZERO);
        assert_eq!(
            [0, 1, 1000].map(|event| clock.due(event, 500) - start),
            [0, 2_000_000, 2_000_000_000]
        );
        assert_eq!(
            (clock.from - start, clock.to - start),
            (1_000_000_000, 3_000_000_000)
        );
        assert_eq!(clock.whole(), 3 * second);
        assert!(clock.now() >= start);
        assert_eq!(clock.due(u64::MAX, 1), u64::MAX);
    }
}
