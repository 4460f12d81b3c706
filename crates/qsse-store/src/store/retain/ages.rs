//! [`Ages`]: how old events are, without a wall clock.

use crate::options::Age;
use std::collections::VecDeque;
use std::time::Duration;

/// What the store knows of the ages of events.
pub(in crate::store) struct Ages {
    /// The time of the last event at the open, or that of the open if it is earlier, and the
    /// event's seq.
    pub(super) last_time: u64,
    pub(super) opened: u64,
    /// Times since the open, each with the head at that time.
    seen: VecDeque<(Duration, u64)>,
    /// Everything through here was removed.
    pub(super) trimmed: u64,
}

/// If there are more entries, every second one is dropped: some events are then removed later.
const MOST_SEEN: usize = 8_192;

impl Ages {
    pub(in crate::store) fn new(last_time: u64, opened: u64) -> Self {
        Self {
            last_time,
            opened,
            seen: VecDeque::new(),
            trimmed: 0,
        }
    }

    /// Records the head at this time.
    pub(super) fn note(&mut self, age: Age, head: u64) {
        let known = self.seen.back().map_or(self.opened, |(_, head)| *head);
        if head > known {
            self.seen.push_back((age.since_open, head));
        }
        if self.seen.len() > MOST_SEEN {
            let mut number = 0usize;
            // The later one of two stays, so no event seems older than it is.
            self.seen.retain(|_| {
                number += 1;
                number.is_multiple_of(2)
            });
        }
    }

    /// Returns the seq up to which events since the open are at least `limit` old; 0 if none is.
    pub(super) fn expired_here(&self, limit: Duration, now: Duration) -> u64 {
        let old = |(then, _): &&(Duration, u64)| now.saturating_sub(*then) >= limit;
        let newest = self.seen.iter().take_while(old).last();
        newest.map_or(0, |(_, head)| *head)
    }
}
