//! [`Figures`]: latencies of one kind, and their number per second.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;
use serde::Serialize;

/// The number of histograms: several, so that tasks seldom wait for each other.
const SHARDS: usize = 16;

/// The significant digits of a latency.
const DIGITS: u8 = 3;

/// Latencies in nanoseconds, recorded by many tasks.
pub(super) struct Figures {
    shards: Vec<Mutex<Histogram<u64>>>,
    /// When the last one was recorded.
    last: AtomicU64,
}

/// Latencies in microseconds, as they are reported.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p99_9: f64,
    pub(super) max: f64,
    pub(super) mean: f64,
}

impl Figures {
    pub(super) fn new() -> Self {
        let histogram = || Histogram::new(DIGITS).expect("so many digits are possible");
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(histogram())).collect(),
            last: AtomicU64::new(0),
        }
    }

    /// Records the time from `due` to `now` for the task with this number. If the clocks of two
    /// machines make it negative, it counts as zero.
    pub(super) fn record(&self, task: usize, due: u64, now: u64) {
        let mut shard = self.shards[task % SHARDS]
            .lock()
            .expect("recording does not panic");
        shard.record(now.saturating_sub(due)).expect("it grows");
        self.last.fetch_max(now, Ordering::Relaxed);
    }

    /// Returns the number of latencies, their number per second, and their distribution.
    ///
    /// The rate is measured from `from` to `to`, or to the last latency if that is later, so late
    /// ones count with the time that they took.
    pub(super) fn sum(&self, from: u64, to: u64) -> (u64, f64, Option<Latency>) {
        let mut all = Histogram::<u64>::new(DIGITS).expect("so many digits are possible");
        for shard in &self.shards {
            let shard = shard.lock().expect("recording does not panic");
            all.add(&*shard).expect("it grows");
        }
        let until = self.last.load(Ordering::Relaxed).max(to);
        let seconds = until.saturating_sub(from) as f64 / 1e9;
        let rate = if seconds > 0.0 {
            all.len() as f64 / seconds
        } else {
            0.0
        };
        let micros = |nanos: f64| (nanos / 100.0).round() / 10.0;
        let at = |part| micros(all.value_at_quantile(part) as f64);
        let latency = (!all.is_empty()).then(|| Latency {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: micros(all.max() as f64),
            mean: micros(all.mean()),
        });
        (all.len(), (rate * 10.0).round() / 10.0, latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn percentiles_are_of_all_shards_together() {
        let figures = Figures::new();
        assert_eq!(figures.sum(0, SECOND), (0, 0.0, None));
        for number in 1..=1000 {
            figures.record(number as usize, 0, number * 1000);
        }
        let (count, rate, latency) = figures.sum(0, 2 * SECOND);
        let latency = latency.unwrap();
        assert_eq!((count, rate), (1000, 500.0));
        for (is, should) in [
            (latency.p50, 500.0),
            (latency.p90, 900.0),
            (latency.p99, 990.0),
            (latency.p99_9, 999.0),
            (latency.max, 1000.0),
            (latency.mean, 500.5),
        ] {
            assert!(
                (is - should).abs() <= should / 500.0,
                "{is} is not {should}"
            );
        }
    }

    #[test]
    fn what_comes_late_lowers_the_rate_and_a_clock_behind_gives_no_negative_time() {
        let figures = Figures::new();
        figures.record(0, SECOND, 0);
        figures.record(1, 0, 4 * SECOND);
        let (count, rate, latency) = figures.sum(0, SECOND);
        assert_eq!((count, rate), (2, 0.5));
        assert_eq!(latency.unwrap().p50, 0.0);
    }
}
