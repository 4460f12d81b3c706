//! Time, passed in by whoever has a clock.

use std::time::Duration;

use qsse_proto::Timestamp;

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The wall clock: the time that events carry. It may jump. Where it goes back by no more than [`MAX_AHEAD`] the time of
    /// events stands still until it has caught up; where it goes back further, their time goes back with it.
    pub wall: Timestamp,
    /// A monotonic clock, from any fixed start: what ages are measured by.
    pub monotonic: Duration,
}

/// Added to every time in a dedup window, so that there is room for times before the start.
pub(crate) const BEFORE: Duration = Duration::from_secs(1 << 32);

/// How far the time of events may run ahead of the wall clock: 10 seconds, more than a leap second or what a time service
/// corrects in one step (`QP-2.7`).
pub const MAX_AHEAD: Duration = Duration::from_secs(10);

/// What the log knows of the wall clock.
#[derive(Default)]
pub(crate) struct Wall {
    /// The time of the next event, unless the clock moves on.
    time: Timestamp,
    /// The last reading.
    read: Timestamp,
    /// Times have gone back, from one event to the next.
    went_back: bool,
    /// How far the clock was set back when that was seen, until it is told.
    set_back: Option<Duration>,
}

impl Wall {
    /// After events, the last of which is of that time.
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

    /// The time of an event that is appended now.
    pub(crate) fn time(&self) -> Timestamp {
        self.time
    }

    /// Times after this are ahead of the clock.
    pub(crate) fn latest(&self) -> Timestamp {
        let ahead = MAX_AHEAD.as_micros() as u64;
        Timestamp::from_micros(self.read.as_micros().saturating_add(ahead))
    }

    /// Whether the times of events may have gone back since the log was opened.
    pub(crate) fn went_back(&self) -> bool {
        self.went_back
    }

    /// How far the clock was set back since the last call.
    pub(crate) fn take_set_back(&mut self) -> Option<Duration> {
        self.set_back.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_far_is_followed_and_told_once() {
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
