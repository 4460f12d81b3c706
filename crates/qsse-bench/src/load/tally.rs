//! What arrives, counted and timed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::talk::begin;
use crate::payload;
use crate::work::{Counted, Latency, Load, Task};

/// Times above count as this: a minute.
const LONGEST_NANOS: u64 = 60_000_000_000;

/// A histogram that all clients write to, in nanoseconds.
#[derive(Clone)]
pub(super) struct Times(Arc<Mutex<Histogram<u64>>>);

impl Times {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Histogram::new_with_max(
            LONGEST_NANOS,
            3,
        )?))))
    }

    pub(super) fn record(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.lock().saturating_record(nanos);
    }

    fn percentiles(&self) -> Latency {
        let times = self.0.lock();
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        Latency {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: times.max() as f64 / 1e3,
        }
    }
}

/// The count of one client.
#[derive(Clone)]
pub(super) struct Tally {
    count: Arc<AtomicU64>,
    /// Bytes that each event must have.
    event_bytes: usize,
    /// Where ages go, when they are looked at.
    times: Option<Times>,
}

impl Tally {
    /// Counts an event and, where that is asked for, its age.
    pub(super) fn event(&self, data: &[u8]) {
        assert_eq!(data.len(), self.event_bytes, "an event of another size");
        if let Some(times) = &self.times {
            let age = payload::age(data, payload::now()).expect("all events carry a time");
            times.record(age);
        }
        self.add(1);
    }

    /// Counts events that nobody has looked at. Only one thread counts, so that no locked
    /// instruction is needed.
    pub(super) fn add(&self, events: u64) {
        let count = self.count.load(Ordering::Relaxed);
        self.count.store(count + events, Ordering::Relaxed);
    }

    /// Counts something that took that long.
    pub(super) fn took(&self, time: Duration) {
        if let Some(times) = &self.times {
            times.record(time);
        }
        self.add(1);
    }

    /// Whether somebody has to look at each event.
    pub(super) fn looks(&self) -> bool {
        self.times.is_some()
    }

    /// Bytes that each event has.
    pub(super) fn event_bytes(&self) -> usize {
        self.event_bytes
    }
}

/// The counts of all clients.
pub(super) struct Tallies {
    all: Vec<Tally>,
    times: Option<Times>,
}

impl Tallies {
    /// One for each client. Times are taken unless it is throughput that is asked for.
    pub(super) fn new(load: &Load) -> Result<Self> {
        let timed = !matches!(load.work.task, Task::Flood | Task::Take);
        let times = timed.then(Times::new).transpose()?;
        let tally = |_| Tally {
            count: Arc::default(),
            event_bytes: load.work.event_bytes,
            times: times.clone(),
        };
        Ok(Self {
            all: (0..load.clients).map(tally).collect(),
            times: times.clone(),
        })
    }

    /// One by one.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Tally> {
        self.all.iter()
    }

    /// Warms up, and counts for as long as the window is.
    pub(super) async fn count(&self, load: &Load) -> Counted {
        tokio::time::sleep(load.warm_up).await;
        begin();
        let (before, started) = (self.counts(), Instant::now());
        if let Some(times) = &self.times {
            times.0.lock().reset();
        }
        tokio::time::sleep(load.window).await;
        let (after, seconds) = (self.counts(), started.elapsed().as_secs_f64());
        let counts: Vec<u64> = before.iter().zip(after).map(|(b, a)| a - b).collect();
        let count = counts.iter().sum();
        Counted {
            count,
            seconds,
            slowest_share: slowest_share(&counts, count),
            latency: self.times.as_ref().map(Times::percentiles),
        }
    }

    fn counts(&self) -> Vec<u64> {
        let counts = self.all.iter();
        counts
            .map(|tally| tally.count.load(Ordering::Relaxed))
            .collect()
    }
}

fn slowest_share(counts: &[u64], sum: u64) -> f64 {
    let slowest = counts.iter().min().copied().unwrap_or_default();
    slowest as f64 * counts.len() as f64 / sum.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_is_seen() {
        assert_eq!(slowest_share(&[10, 10], 20), 1.0);
        assert_eq!(slowest_share(&[0, 20], 20), 0.0);
        assert_eq!(slowest_share(&[5, 15], 20), 0.5);
        assert_eq!(slowest_share(&[], 0), 0.0);
    }

    #[test]
    fn percentiles_are_microseconds() {
        let times = Times::new().unwrap();
        for ms in 1..=1_000 {
            times.record(Duration::from_millis(ms));
        }
        let latency = times.percentiles();
        assert!((latency.p50 / 500_000.0 - 1.0).abs() < 0.01, "{latency:?}");
        assert!((latency.p99 / 990_000.0 - 1.0).abs() < 0.01, "{latency:?}");
    }
}
