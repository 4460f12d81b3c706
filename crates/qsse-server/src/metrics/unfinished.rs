//! [`Unfinished`]: the metrics of publishes that have begun to arrive.

use metrics::Unit;

use super::registry::{Counters, Gauges, Registry};

/// The metrics of publishes that have begun to arrive.
pub(crate) struct Unfinished {
    bytes: Gauges,
    pub(crate) waits: Counters,
    pub(crate) timeouts: Counters,
}

impl Unfinished {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name, about| registry.counter(name, vec![], Unit::Count, about);
        let about = "Bytes of long publishes that have begun to arrive";
        Self {
            bytes: registry.gauge("unfinished_bytes", vec![], Unit::Bytes, about),
            waits: counter(
                "unfinished_waits",
                "Publishes that waited for memory before the rest of them was read",
            ),
            timeouts: counter(
                "frame_timeouts",
                "Publishing streams that were reset because a publish did not arrive in time",
            ),
        }
    }

    /// Notes how many bytes of the budget are taken.
    pub(crate) fn set_bytes(&self, bytes: usize) {
        self.bytes.set(bytes);
    }
}
