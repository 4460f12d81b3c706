//! Warnings about Go clients that are worth saying once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::metrics::Metrics;

/// What was said of Go clients, so that it is said once.
#[derive(Default)]
pub(crate) struct Notices {
    patterns: Mutex<HashSet<String>>,
    unsent: AtomicBool,
}

/// Patterns of which it is remembered that they were warned of.
const MAX_NOTICES: usize = 1_024;

impl Notices {
    /// A pattern of a client matches other topics here than with the Go library.
    pub(crate) fn differs(&self, pattern: &str) {
        let mut known = self.patterns.lock();
        if known.len() < MAX_NOTICES && known.insert(pattern.to_owned()) {
            tracing::warn!(
                ?pattern,
                "a Go client's pattern matches other topics here: only a segment `*` is a wildcard, for one segment, or at the end for one or more"
            );
        }
    }

    /// Events could not be sent: a client would take them for errors of the server.
    pub(crate) fn unsent(&self, metrics: &Metrics, events: u32) {
        metrics.go_unsent_events.add(u64::from(events));
        if !self.unsent.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "events on the topic `error` are not sent to Go clients, which take them for errors of the server"
            );
        }
    }
}
