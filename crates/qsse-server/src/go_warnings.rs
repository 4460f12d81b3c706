//! [`GoWarnings`]: warnings about Go clients that are logged once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::metrics::Metrics;

/// The warnings about Go clients that were logged.
#[derive(Default)]
pub(crate) struct GoWarnings {
    patterns: Mutex<HashSet<String>>,
    unsent: AtomicBool,
}

/// Patterns that are remembered as warned of.
const MAX_PATTERNS: usize = 1_024;

impl GoWarnings {
    /// Warns that a client's pattern matches other topics here than with the Go library.
    pub(crate) fn pattern_differs(&self, pattern: &str) {
        let mut known = self.patterns.lock();
        if known.len() < MAX_PATTERNS && known.insert(pattern.to_owned()) {
            tracing::warn!(
                ?pattern,
                "a Go client's pattern matches other topics here: only a segment `*` is a wildcard, for one segment, or at the end for one or more"
            );
        }
    }

    /// Counts events that cannot be sent, as clients take them for errors of the server, and warns.
    pub(crate) fn unsent(&self, metrics: &Metrics, events: u32) {
        metrics.go_unsent_events.add(u64::from(events));
        if !self.unsent.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "events on the topic `error` are not sent to Go clients, which take them for errors of the server"
            );
        }
    }
}
