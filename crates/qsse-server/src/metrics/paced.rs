//! [`Paced`]: the metrics of clients that had to wait because of what they did.

use metrics::Unit;

use super::registry::{Counters, Registry};

/// The metrics of clients that had to wait because of what they did.
pub(crate) struct Paced {
    pub(crate) refusals: Counters,
    pub(crate) publishes: Counters,
    pub(crate) requests: Counters,
    pub(crate) tokens: Counters,
    pub(crate) starts: Counters,
}

impl Paced {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name, about| registry.counter(name, vec![], Unit::Count, about);
        Self {
            refusals: counter(
                "refusals_paced",
                "Refused publishes after which the client had to wait",
            ),
            publishes: counter(
                "publishes_paced",
                "Times that a client had to wait because of its rate of publishes",
            ),
            requests: counter(
                "requests_paced",
                "Requests after which the client had to wait, as it made too many or large ones",
            ),
            tokens: counter(
                "tokens_delayed",
                "Clients that waited because of wrong tokens from their network",
            ),
            starts: counter(
                "starts_paced",
                "Starts that waited because their connection had as many searches as it may have",
            ),
        }
    }
}
