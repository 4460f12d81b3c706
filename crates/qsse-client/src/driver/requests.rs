//! [`Requests`]: the subscriptions of one connection, by id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::config::ReconnectPolicy;
use crate::slot::Slot;

/// Which subscriptions were requested on this connection, and under which ids.
///
/// A subscription whose stream has ended, or that the server refused temporarily, is requested
/// again under another id. No id is used twice.
pub(super) struct Requests {
    by_id: BTreeMap<u32, Request>,
    /// The current id of each subscription that has one.
    ids: BTreeMap<u64, u32>,
    /// The backoffs of subscriptions that were postponed before.
    backoffs: BTreeMap<u64, Backoff>,
    /// The backoff from which those are made.
    backoff: Backoff,
    policy: ReconnectPolicy,
}

struct Request {
    slot: Arc<Slot>,
    /// How many resets the subscription had seen before the request.
    resets: u64,
    since: Instant,
    /// The server has accepted it under this id.
    confirmed: bool,
    /// Its stream has arrived.
    streaming: bool,
}

impl Requests {
    pub(super) fn new(policy: ReconnectPolicy, backoff: Backoff) -> Self {
        Self {
            by_id: BTreeMap::new(),
            ids: BTreeMap::new(),
            backoffs: BTreeMap::new(),
            backoff,
            policy,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Returns whether the subscription has an id on this connection.
    pub(super) fn has(&self, key: u64) -> bool {
        self.ids.contains_key(&key)
    }

    /// Returns whether this is the subscription's current id.
    pub(super) fn is_current(&self, key: u64, id: u32) -> bool {
        self.ids.get(&key) == Some(&id)
    }

    pub(super) fn slot(&self, id: u32) -> Option<&Arc<Slot>> {
        self.by_id.get(&id).map(|request| &request.slot)
    }

    /// Returns whether the subscription with this id waits for its stream.
    pub(super) fn is_waiting(&self, id: u32) -> bool {
        self.by_id
            .get(&id)
            .is_some_and(|request| !request.streaming)
    }

    /// Adds a request. `resets` is how many the subscription had seen before it.
    pub(super) fn add(&mut self, id: u32, slot: Arc<Slot>, resets: u64) {
        self.ids.insert(slot.key, id);
        let request = Request {
            slot,
            resets,
            since: Instant::now(),
            confirmed: false,
            streaming: false,
        };
        self.by_id.insert(id, request);
    }

    /// Records that the server accepted a subscription, and returns it; `None` if the id is no
    /// longer in use.
    pub(super) fn confirm(&mut self, id: u32) -> Option<&Arc<Slot>> {
        let request = self.by_id.get_mut(&id)?;
        request.confirmed = true;
        Some(&request.slot)
    }

    /// Records that a stream has arrived, and returns its subscription and how many resets that had
    /// seen before the request; `None` if the id is no longer in use, or has a stream already.
    pub(super) fn begin(&mut self, id: u32) -> Option<(&Arc<Slot>, u64)> {
        let request = self
            .by_id
            .get_mut(&id)
            .filter(|request| !request.streaming)?;
        request.streaming = true;
        Some((&request.slot, request.resets))
    }

    /// Removes a subscription for good, and returns its id.
    pub(super) fn remove(&mut self, key: u64) -> Option<u32> {
        self.backoffs.remove(&key);
        let id = self.ids.remove(&key)?;
        self.by_id.remove(&id);
        Some(id)
    }

    /// Removes the id of a subscription, and returns its key and the delay before the next request.
    /// The delay grows each time, until one of its streams has lasted.
    pub(super) fn postpone(&mut self, id: u32) -> Option<(u64, Duration)> {
        let request = self.by_id.remove(&id)?;
        let key = request.slot.key;
        self.ids.remove(&key);
        let backoff = self
            .backoffs
            .entry(key)
            .or_insert_with(|| self.backoff.fork());
        if request.since.elapsed() >= self.policy.max_delay {
            backoff.reset();
        }
        Some((key, backoff.next()))
    }

    /// Removes the requests that are not confirmed. A leaving server opens no stream for them.
    pub(super) fn retain_confirmed(&mut self) {
        // By id, since a confirmed subscription may have been requested again, without an answer.
        self.by_id
            .retain(|_, request| request.streaming || request.confirmed);
    }
}
