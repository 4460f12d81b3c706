//! [`Since`]: finds the event at which a start at a time begins (`QP-5.3`).

use crate::timestamp::Timestamp;

/// Finds the first event of a time or later, among events whose times may go back (`QP-2.7`).
///
/// If an event's time is in the future, the clock that set it was wrong. The event was published no
/// later than the next event whose time is not in the future, so it counts as having that time.
/// Events must be passed in the order of the log:
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
    /// The first of the latest events that are in the future.
    ahead: Option<u64>,
}

impl Since {
    /// Creates a search for `time`, where times after `until` are in the future. If `time` itself
    /// is in the future, the clock is not trusted, and every time counts.
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

    /// Passes the next event. Returns the seq to begin with, once that is known.
    pub fn event(&mut self, seq: u64, time: Timestamp) -> Option<u64> {
        match self.skip(seq, time, time) {
            true => None,
            false => Some(self.begin(seq)),
        }
    }

    /// Passes several events at once: the seq of the first, and their earliest and latest time.
    /// Returns `false` if the event that is searched for may be among them; then pass each one by
    /// itself.
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

    /// Returns where to begin if the next event, with this seq, has the time that is searched for.
    /// Also applies if there are no more events and this is the next seq.
    pub fn begin(&self, seq: u64) -> u64 {
        self.ahead.unwrap_or(seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns where a search begins, by definition: each event has the time of the next one that
    /// is not in the future, itself included.
    fn naive(times: &[u64], time: u64, until: u64) -> u64 {
        let until = if time > until { u64::MAX } else { until };
        let counts_as = |at: usize| times[at..].iter().find(|time| **time <= until);
        let is_since = |at: &usize| counts_as(*at).is_none_or(|counts| *counts >= time);
        (0..times.len()).find(is_since).unwrap_or(times.len()) as u64 + 1
    }

    #[test]
    fn it_begins_where_every_event_says_so_one_by_one_and_in_pieces() {
        for number in 0..5_u64.pow(5) {
            let times: Vec<u64> = (0..5).map(|at| number / 5_u64.pow(at) % 5).collect();
            for (time, until, piece) in (0..90).map(|n| (n % 6, n / 6 % 5, n as usize / 30 + 1)) {
                let [from, end] = [time, until].map(Timestamp::from_micros);
                let mut since = Since::new(from, end);
                let mut seqs = 1..;
                let found = times.chunks(piece).find_map(|piece| {
                    let all = piece.iter().map(|time| Timestamp::from_micros(*time));
                    let first = seqs.start;
                    seqs.start += piece.len() as u64;
                    let (earliest, latest) = (all.clone().min()?, all.clone().max()?);
                    if since.skip(first, earliest, latest) {
                        return None;
                    }
                    (first..)
                        .zip(all)
                        .find_map(|(seq, time)| since.event(seq, time))
                });
                let found = found.unwrap_or_else(|| since.begin(6));
                let wanted = naive(&times, time, until);
                assert_eq!(found, wanted, "{time} to {until} in {times:?}");
            }
        }
    }
}
