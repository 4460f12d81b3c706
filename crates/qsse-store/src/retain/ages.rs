//! How old events are, without a wall clock.

use crate::options::Age;
use crate::store::Store;
use qsse_proto::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// What is known of the ages of events.
pub(crate) struct Ages {
    /// The time of the last event when the store was opened, or that of the open where it is earlier, and the event's seq.
    last_time: u64,
    opened: u64,
    /// At these times since the open, events through these seqs were there.
    seen: VecDeque<(Duration, u64)>,
    /// Everything through here was removed.
    pub(super) trimmed: u64,
}

/// Beyond this every second one is forgotten: events then go somewhat later.
const MOST_SEEN: usize = 8_192;

impl Ages {
    pub(crate) fn new(last_time: u64, opened: u64) -> Self {
        Self {
            last_time,
            opened,
            seen: VecDeque::new(),
            trimmed: 0,
        }
    }

    /// Notes that events through `head` are there at this time.
    pub(super) fn note(&mut self, age: Age, head: u64) {
        let known = self.seen.back().map_or(self.opened, |(_, head)| *head);
        if head > known {
            self.seen.push_back((age.since_open, head));
        }
        if self.seen.len() > MOST_SEEN {
            let mut number = 0usize;
            // Of two the later one stays: it says no less than it knows.
            self.seen.retain(|_| {
                number += 1;
                number.is_multiple_of(2)
            });
        }
    }

    /// Events of this life of the store through this seq are at least `limit` old; 0 if none is.
    fn expired_here(&self, limit: Duration, now: Duration) -> u64 {
        let old = |(then, _): &&(Duration, u64)| now.saturating_sub(*then) >= limit;
        let newest = self.seen.iter().take_while(old).last();
        newest.map_or(0, |(_, head)| *head)
    }
}

impl Store {
    /// Events through this seq are at least `limit` old; 0 if none is.
    pub(super) fn expired(&self, limit: Duration, age: Age) -> u64 {
        let ages = &self.ages;
        let here = ages.expired_here(limit, age.since_open);
        if here > 0 {
            return here;
        }
        let since_last = age.since_open.saturating_add(age.closed);
        if since_last >= limit {
            return ages.opened;
        }
        let rest = limit - since_last;
        let rest = u64::try_from(rest.as_micros()).unwrap_or(u64::MAX);
        match ages.last_time.checked_sub(rest) {
            // Those of that very moment are just as old.
            Some(latest) => {
                let [next, until] = [latest + 1, ages.last_time].map(Timestamp::from_micros);
                (self.reader().seq_at(next, until) - 1).min(ages.opened)
            }
            None => 0,
        }
    }
}
