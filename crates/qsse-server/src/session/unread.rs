//! [`Unread`]: what subscriptions hold while their clients read nothing.
//!
//! ```text
//! Delivery ──▶ Held ──┬──▶ Unread of the connection   over its limit: its slowest are ended
//!                     └──▶ Unread of the server       over its limit: background/shedding.rs looks
//! ```
//!
//! A delivery counts only from the moment at which its stream accepts nothing more, so one whose
//! client keeps up costs nothing here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use qsse_log::{Budget, Charge};
use qsse_proto::batch::Batch;
use qsse_proto::limits::BATCH_BYTES;
use slab::Slab;

use crate::session::subscriptions::Ends;

/// The subscriptions of a connection or of all, and what they hold that is not read.
pub(crate) struct Unread {
    budget: Budget,
    subscriptions: Mutex<Slab<Arc<Backlog>>>,
}

/// What one subscription holds.
struct Backlog {
    /// When its stream stopped accepting, in microseconds; 0 while it accepts.
    since: AtomicU64,
    /// The allocated bytes of its batches.
    bytes: AtomicUsize,
    ends: Ends,
}

/// Bytes of batches that a delivery takes from the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    /// Allocated bytes.
    pub(crate) bytes: usize,
    /// What counts for the connection. A large event counts as a full batch of small ones: it is
    /// shared with the history and with other connections.
    pub(crate) own: usize,
}

impl Weight {
    pub(crate) fn add(&mut self, batch: &Batch) {
        self.bytes += batch.allocated();
        self.own += batch.allocated().min(BATCH_BYTES);
    }
}

impl Unread {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let budget = Budget::new(limit);
        let subscriptions = Mutex::default();
        Arc::new(Self {
            budget,
            subscriptions,
        })
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Ends the subscriptions that have been blocked for longest, until they held `bytes` bytes.
    /// Returns their number.
    #[cold]
    pub(crate) fn end_slowest(&self, bytes: usize) -> u64 {
        let mut blocked: Vec<_> = {
            let subscriptions = self.subscriptions.lock();
            let all = subscriptions.iter().map(|(_, backlog)| backlog);
            let blocked = all.filter(|backlog| backlog.is_blocked());
            blocked.map(Arc::clone).collect()
        };
        blocked.sort_by_cached_key(|backlog| backlog.since.load(Ordering::Relaxed));
        let (mut freed, mut ended) = (0, 0);
        for backlog in blocked {
            if freed >= bytes {
                break;
            }
            freed += backlog.bytes.load(Ordering::Relaxed);
            backlog.ends.end_unread();
            ended += 1;
        }
        ended
    }
}

impl Backlog {
    fn is_blocked(&self) -> bool {
        self.since.load(Ordering::Relaxed) > 0 && !self.ends.is_cancelled()
    }
}

/// Counts what a delivery holds while its stream accepts nothing.
pub(crate) struct Held {
    backlog: Arc<Backlog>,
    server: Place,
    connection: Place,
    is_blocked: bool,
}

/// The place of a subscription among others.
struct Place {
    unread: Arc<Unread>,
    key: usize,
    charge: Charge,
}

impl Place {
    fn take(unread: &Arc<Unread>, backlog: &Arc<Backlog>) -> Self {
        let key = unread.subscriptions.lock().insert(Arc::clone(backlog));
        Self {
            charge: unread.budget.charge(0),
            unread: Arc::clone(unread),
            key,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut subscriptions = self.unread.subscriptions.lock();
        subscriptions.remove(self.key);
        if subscriptions.is_empty() {
            subscriptions.shrink_to_fit();
        }
    }
}

impl Held {
    pub(crate) fn new(server: &Arc<Unread>, connection: &Arc<Unread>, ends: Ends) -> Self {
        let backlog = Arc::new(Backlog {
            since: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            ends,
        });
        Self {
            server: Place::take(server, &backlog),
            connection: Place::take(connection, &backlog),
            backlog,
            is_blocked: false,
        }
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Counts what the delivery holds, as its stream accepts nothing since `now`. If that is too
    /// much for the connection, its slowest subscriptions are ended; returns their number.
    pub(crate) fn block(&mut self, now: Duration, weight: Weight) -> u64 {
        self.is_blocked = true;
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.backlog.bytes.store(weight.bytes, Ordering::Relaxed);
        self.backlog.since.store(now.max(1), Ordering::Relaxed);
        self.server.charge.resize(weight.bytes);
        self.connection.charge.resize(weight.own);
        let budget = self.connection.unread.budget();
        match budget.used().saturating_sub(budget.limit()) {
            0 => 0,
            over => self.connection.unread.end_slowest(over),
        }
    }

    /// Counts nothing, as the stream has accepted everything.
    pub(crate) fn unblock(&mut self) {
        self.is_blocked = false;
        self.backlog.since.store(0, Ordering::Relaxed);
        self.server.charge.resize(0);
        self.connection.charge.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use qsse_proto::Code;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn weight(own: usize) -> Weight {
        Weight { bytes: own, own }
    }

    #[test]
    fn the_slowest_are_ended_first_and_only_those_that_are_blocked() {
        let (server, connection) = (Unread::new(1_000), Unread::new(1_000));
        let mut all: Vec<_> = (0..4)
            .map(|_| {
                let ends = Ends::default();
                (Held::new(&server, &connection, ends.clone()), ends)
            })
            .collect();
        for (number, seconds) in [(0, 30), (1, 10), (2, 20), (3, 5)] {
            all[number].0.block(at(seconds), weight(100));
        }
        all[3].0.unblock();
        assert_eq!(server.budget().used(), 300);
        assert_eq!(server.end_slowest(150), 2);
        let ended: Vec<_> = all.iter().map(|(_, ends)| ends.is_cancelled()).collect();
        assert_eq!(ended, [false, true, true, false]);
        assert_eq!(all[1].1.code(), Code::LAGGED);
        assert_eq!(server.end_slowest(1_000), 1, "none is ended twice");
        drop(all);
        assert_eq!((server.budget().used(), connection.budget().used()), (0, 0));
        assert!(server.subscriptions.lock().is_empty());
    }

    #[test]
    fn a_connection_over_its_limit_loses_its_slowest() {
        let server = Unread::new(usize::MAX);
        let (one, other) = (Unread::new(250), Unread::new(250));
        let of = |connection| {
            let ends = Ends::default();
            (Held::new(&server, connection, ends.clone()), ends)
        };
        let mut old = of(&other);
        assert_eq!(old.0.block(at(1), weight(250)), 0);
        let mut first = of(&one);
        let mut second = of(&one);
        assert_eq!(first.0.block(at(2), weight(150)), 0);
        assert_eq!(second.0.block(at(3), weight(150)), 1);
        let ended = [&old, &first, &second].map(|(_, ends)| ends.is_cancelled());
        assert_eq!(ended, [false, true, false]);
    }
}
