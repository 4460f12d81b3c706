//! [`RemovedTimes`]: the times of removed events.

use qsse_proto::Timestamp;

/// The times of events that the history has removed.
#[derive(Default)]
pub(super) struct RemovedTimes {
    /// The latest time of those that were not ahead of the clock when they were removed.
    latest: Option<Timestamp>,
    /// The earliest and the latest time of those that were.
    ahead: Option<(Timestamp, Timestamp)>,
}

impl RemovedTimes {
    /// Stands for removed events with times up to `latest`.
    pub(super) fn through(latest: Timestamp) -> Self {
        Self {
            latest: Some(latest),
            ahead: None,
        }
    }

    /// Adds the time of a removed event. Times after `until` are ahead of the clock.
    pub(super) fn add(&mut self, time: Timestamp, until: Timestamp) {
        if time <= until {
            self.latest = self.latest.max(Some(time));
            return;
        }
        let (earliest, latest) = self.ahead.unwrap_or((time, time));
        self.ahead = Some((earliest.min(time), latest.max(time)));
    }

    /// Returns whether an event of `time` or later may have been removed. Times after `until` are
    /// ahead of the clock.
    pub(super) fn has_since(&self, time: Timestamp, until: Timestamp) -> bool {
        let is_since = |latest: Timestamp| latest >= time;
        let ahead = self
            .ahead
            .filter(|(earliest, _)| *earliest <= until || time > until);
        self.latest.is_some_and(is_since) || ahead.is_some_and(|(_, latest)| is_since(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ahead_of_the_clock_counts_for_times_that_are_so_too() {
        let [asked, until, later, ahead] = [20, 50, 51, 900].map(Timestamp::from_micros);
        let mut gone = RemovedTimes::default();
        gone.add(ahead, until);
        let has_since = |time, until| gone.has_since(time, until);
        assert!(!has_since(asked, until) && !has_since(until, until));
        assert!(has_since(later, until) && has_since(ahead, until));
        assert!(has_since(asked, ahead), "the clock has come there");
        assert!(!has_since(Timestamp::from_micros(901), until));

        let gone = RemovedTimes::through(until);
        assert!(gone.has_since(until, ahead) && !gone.has_since(later, ahead));
    }
}
