//! [`Watch`]: looks at a server again and again while it is attacked.

use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use qsse_testing::process::{self, Running};

use crate::metrics::Metrics;

/// The time between two looks at the memory.
const BETWEEN: Duration = Duration::from_millis(50);

/// Looks at the memory for each look at the metrics.
const LOOKS_PER_ASKING: u32 = 5;

/// The most of what was seen, and the course of the memory.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// Resident memory in bytes, each with the time since the start.
    pub(crate) memory: Vec<(Duration, u64)>,
    /// Each metric at its most. A server that is too busy to answer adds nothing.
    pub(crate) most: Metrics,
}

/// A thread that looks at a server.
pub(crate) struct Watch {
    stop: Sender<()>,
    thread: JoinHandle<Watched>,
}

impl Watch {
    /// Begins to look.
    pub(crate) fn start(server: &Running) -> Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let (process, metrics) = (server.id(), server.metrics()?);
        let thread = std::thread::spawn(move || {
            let (begun, mut looks) = (Instant::now(), 0);
            let mut watched = Watched::default();
            while stopped.recv_timeout(BETWEEN) == Err(RecvTimeoutError::Timeout) {
                watched.look(begun, process);
                looks += 1;
                if looks % LOOKS_PER_ASKING == 0 {
                    watched.ask(metrics);
                }
            }
            watched.look(begun, process);
            watched.ask(metrics);
            watched
        });
        Ok(Self { stop, thread })
    }

    /// Looks for the last time, and returns what was seen.
    pub(crate) fn finish(self) -> Result<Watched> {
        drop(self.stop);
        let watched = self.thread.join();
        watched.map_err(|_| anyhow!("looking at the server panicked"))
    }
}

impl Watched {
    fn look(&mut self, begun: Instant, process: u32) {
        if let Ok((now, _)) = process::memory(process) {
            self.memory.push((begun.elapsed(), now));
        }
    }

    fn ask(&mut self, address: SocketAddr) {
        if let Ok(metrics) = Metrics::ask(address) {
            self.most.raise(&metrics);
        }
    }

    /// Returns the most memory in bytes.
    pub(crate) fn peak(&self) -> u64 {
        let all = self.memory.iter().map(|(_, bytes)| *bytes);
        all.max().unwrap_or_default()
    }

    /// Returns the slope of the memory in the second half, in bytes a second: that of the straight
    /// line with the least squares.
    pub(crate) fn slope(&self) -> f64 {
        let half = &self.memory[self.memory.len() / 2..];
        let count = half.len() as f64;
        let points = || half.iter().map(|(at, y)| (at.as_secs_f64(), *y as f64));
        let mean_x = points().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = points().map(|(_, y)| y).sum::<f64>() / count;
        let rise: f64 = points().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let run: f64 = points().map(|(x, _)| (x - mean_x).powi(2)).sum();
        if run > 0.0 { rise / run } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_second_half() {
        let point = |second: u64| {
            let bytes = if second < 10 { 5_000 } else { 100 * second };
            (Duration::from_secs(second), bytes)
        };
        let watched = Watched {
            memory: (0..20).map(point).collect(),
            ..Watched::default()
        };
        assert_eq!(watched.slope(), 100.0);
        assert_eq!(watched.peak(), 5_000);
        assert_eq!(Watched::default().slope(), 0.0);
    }
}
