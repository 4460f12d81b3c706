//! Where a start at a time begins (`QP-5.3`).

use crate::Timestamp;

/// Finds the first event of a time or later, among events whose times may go back (`QP-2.7`).
///
/// An event whose time is ahead of the clock counts as of the time of the next one that is not: the clock that set it was wrong,
/// and it was published no later than that one. Events are shown in the order of the log:
///
/// ```
/// use qsse_proto::{Since, Timestamp};
///
/// let [asked, now] = [20, 50].map(Timestamp::from_micros);
/// let mut since = Since::new(asked, now);
/// let times = [10, 900, 901, 15, 902, 20, 30];
/// let mut events = (1..).zip(times.map(Timestamp::from_micros));
/// assert_eq!(events.find_map(|(seq, time)| since.event(seq, time)), Some(5));
/// ```
#[derive(Clone, Debug)]
pub struct Since {
    from: Timestamp,
    until: Timestamp,
    /// The first of the events just shown that are ahead of the clock.
    ahead: Option<u64>,
}

impl Since {
    /// A search for `time`, where times after `until` are ahead of the clock. If the time asked for is so itself, the clock is
    /// not believed and every time counts.
    pub fn new(time: Timestamp, until: Timestamp) -> Self {
        Self {
            from: time,
            until: if time > until {
                Timestamp::from_micros(u64::MAX)
            } else {
                until
            },
            ahead: None,
        }
    }

    /// Shows the next event. The seq to begin with, if that is known now.
    pub fn event(&mut self, seq: u64, time: Timestamp) -> Option<u64> {
        match self.skip(seq, time, time) {
            true => None,
            false => Some(self.begin(seq)),
        }
    }

    /// Shows the next events all at once: the seq of the first one, and their earliest and latest time. If they are what is
    /// looked for, or may have it among them, this is false, and each is to be shown by itself.
    pub fn skip(&mut self, first: u64, earliest: Timestamp, latest: Timestamp) -> bool {
        if latest < self.from {
            self.ahead = None;
        } else if earliest > self.until {
            self.ahead.get_or_insert(first);
        } else {
            return false;
        }
        true
    }

    /// Where to begin if the next event, of this seq, is of the time, or if there is none and this is the next seq.
    pub fn begin(&self, seq: u64) -> u64 {
        self.ahead.unwrap_or(seq)
    }
}
