//! [`Spread`]: times of one kind.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// Times of one kind, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// How many there are.
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Returns the spread of these times.
    pub(crate) fn of(times: &[Duration]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort();
        let Some(last) = sorted.len().checked_sub(1) else {
            return Self::default();
        };
        let at = |part: f64| sorted[(last as f64 * part).round() as usize].as_secs_f64() * 1e3;
        Self {
            count: sorted.len(),
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p99, max, .. } = self;
        write!(f, "p50 {p50:.1}, p99 {p99:.1}, max {max:.1} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_and_the_end() {
        let times: Vec<_> = (0..=100).map(Duration::from_millis).rev().collect();
        let spread = Spread::of(&times);
        assert_eq!((spread.p50, spread.p99, spread.max), (50.0, 99.0, 100.0));
        assert_eq!(Spread::of(&[]).count, 0);
    }
}
