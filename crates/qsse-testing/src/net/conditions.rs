//! What a network does to the datagrams it carries.

use std::time::Duration;

/// The faults of a network. The default is a good one: every datagram arrives once, after 10 ms.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    /// The share of datagrams that get lost, 0.0 to 1.0.
    pub loss: f64,
    /// The share of arriving datagrams that arrive twice, 0.0 to 1.0. Each copy has a delay of
    /// its own.
    pub duplicate: f64,
    /// The shortest one-way delay.
    pub min_delay: Duration,
    /// The longest one-way delay. What lies between the two is jitter, and jitter reorders.
    pub max_delay: Duration,
}

impl Default for Conditions {
    fn default() -> Self {
        let delay = Duration::from_millis(10);
        Self {
            loss: 0.0,
            duplicate: 0.0,
            min_delay: delay,
            max_delay: delay,
        }
    }
}

impl Conditions {
    /// A bad mobile network: this loss, a delay of 20 to 60 ms, one datagram of a hundred twice.
    pub fn lossy(loss: f64) -> Self {
        Self {
            loss,
            duplicate: 0.01,
            ..Self::default()
        }
        .delay(Duration::from_millis(20), Duration::from_millis(60))
    }

    /// These conditions with another range of delays, both ends included.
    pub fn delay(self, min: Duration, max: Duration) -> Self {
        Self {
            min_delay: min,
            max_delay: max,
            ..self
        }
    }

    /// These conditions with another share of lost datagrams.
    pub fn loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// These conditions with another share of datagrams that arrive twice.
    pub fn duplicate(self, duplicate: f64) -> Self {
        Self { duplicate, ..self }
    }
}
