//! [`Door`]: the metrics of clients before they are connected.

use metrics::{Label, Unit};
use parking_lot::Mutex;
use qsse_transport::EndpointStats;

use super::registry::{Counters, Gauges, Registry};

/// What happens to clients before they are connected, as the endpoint counts it.
pub(crate) struct Door {
    in_flight: Gauges,
    retried: Counters,
    timed_out: Counters,
    displaced: Counters,
    refused_connections: Counters,
    refused_handshakes: Counters,
    seen: Mutex<EndpointStats>,
}

impl Door {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name, about| registry.counter(name, vec![], Unit::Count, about);
        let refused = |reason| {
            let labels = vec![Label::from_static_parts("reason", reason)];
            let about = "Clients that were refused before their handshake, by the limit";
            registry.counter("handshakes_refused", labels, Unit::Count, about)
        };
        let about = "Handshakes that have neither completed nor failed";
        Self {
            in_flight: registry.gauge("handshakes", vec![], Unit::Count, about),
            retried: counter(
                "handshakes_retried",
                "Clients that were asked to prove their address first",
            ),
            timed_out: counter(
                "handshakes_timed_out",
                "Handshakes that did not complete within their deadline",
            ),
            displaced: counter(
                "handshakes_displaced",
                "Handshakes of silent clients that made room for newer ones",
            ),
            refused_connections: refused("connections"),
            refused_handshakes: refused("handshakes"),
            seen: Mutex::default(),
        }
    }

    /// Updates the metrics from the counters of the endpoint.
    pub(crate) fn collect(&self, stats: impl FnOnce() -> EndpointStats) {
        // Held from the reading to the end, so that nothing is counted twice.
        let mut seen = self.seen.lock();
        let stats = stats();
        self.in_flight.set(stats.handshakes_in_flight);
        let since = |count: fn(&EndpointStats) -> u64| count(&stats) - count(&seen);
        self.retried.add(since(|stats| stats.retried));
        self.timed_out.add(since(|stats| stats.timed_out));
        self.displaced.add(since(|stats| stats.displaced));
        self.refused_connections
            .add(since(|stats| stats.refused_connections));
        self.refused_handshakes
            .add(since(|stats| stats.refused_handshakes));
        *seen = stats;
    }
}
