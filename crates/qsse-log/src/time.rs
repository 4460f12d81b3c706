//! [`Now`]: the time, which callers pass in.

use std::time::Duration;

use qsse_proto::Timestamp;

/// The readings of both clocks at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The wall clock, which may jump. Events carry its time. If it goes back by up to
    /// [`MAX_AHEAD`], the time of events stands still until the clock has caught up. If it goes
    /// back further, so does the time of events.
    pub wall: Timestamp,
    /// A monotonic clock with any start. Ages are measured by it.
    pub monotonic: Duration,
}

/// Added to every time in a dedup window, so that there is room for times before the start.
pub(crate) const BEFORE: Duration = Duration::from_secs(1 << 32);

/// How far the time of events may run ahead of the wall clock (`QP-2.7`): 10 seconds, which is more
/// than a leap second or a usual correction by a time service.
pub const MAX_AHEAD: Duration = Duration::from_secs(10);

/// The wall clock as the log knows it.
#[derive(Default)]
pub(crate) struct Wall {
    /// The time of the next event, unless the clock advances.
    time: Timestamp,
    /// The last reading.
    read: Timestamp,
    /// Whether times have gone back from one event to the next.
    went_back: bool,
    /// How far the clock was set back, until that is reported.
    set_back: Option<Duration>,
}

impl Wall {
    /// Continues after an event of this time.
    pub(crate) fn after(time: Timestamp) -> Self {
        Self {
            time,
            ..Self::default()
        }
    }

    /// Takes a reading of the clock.
    pub(crate) fn read(&mut self, wall: Timestamp) {
        let ahead = self.time.saturating_since(wall);
        if ahead > MAX_AHEAD {
            self.time = wall;
            self.went_back = true;
            self.set_back = self.set_back.max(Some(ahead));
        }
        self.time = self.time.max(wall);
        self.read = wall;
    }

    /// Returns the time of an event that is appended now.
    pub(crate) fn time(&self) -> Timestamp {
        self.time
    }

    /// Returns the latest time that is not ahead of the clock.
    pub(crate) fn latest(&self) -> Timestamp {
        let ahead = MAX_AHEAD.as_micros() as u64;
        Timestamp::from_micros(self.read.as_micros().saturating_add(ahead))
    }

    /// Returns whether the times of events may have gone back since the log was opened.
    pub(crate) fn went_back(&self) -> bool {
        self.went_back
    }

    /// Returns how far the clock was set back since the last call.
    pub(crate) fn take_set_back(&mut self) -> Option<Duration> {
        self.set_back.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_far_is_followed_and_reported_once() {
        let seconds = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        let most = MAX_AHEAD.as_secs();
        let mut wall = Wall::after(seconds(2 * most));
        wall.read(seconds(most));
        assert_eq!((wall.time(), wall.went_back()), (seconds(2 * most), false));
        assert_eq!(wall.latest(), seconds(2 * most));
        assert_eq!(wall.take_set_back(), None);
        wall.read(seconds(most - 1));
        assert_eq!((wall.time(), wall.went_back()), (seconds(most - 1), true));
        let ahead = MAX_AHEAD + Duration::from_secs(1);
        assert_eq!(wall.take_set_back(), Some(ahead));
        assert_eq!(wall.take_set_back(), None);
        wall.read(seconds(most));
        assert_eq!(wall.time(), seconds(most));
    }
}
