//! [`AskedFor`]: the subscriptions of one connection, by id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::config::ReconnectPolicy;
use crate::subscription::slot::Slot;

/// Which subscriptions the server was asked for on this connection, and under which ids.
///
/// A subscription whose stream ends, or that is refused for now, is asked for again under another id: ids are never used twice.
pub(super) struct AskedFor {
    by_id: BTreeMap<u32, Asked>,
    /// The current id of each subscription that has one.
    ids: BTreeMap<u64, u32>,
    /// Of those that were put off before.
    backoffs: BTreeMap<u64, Backoff>,
    /// What theirs are made of.
    backoff: Backoff,
    policy: ReconnectPolicy,
}

struct Asked {
    slot: Arc<Slot>,
    /// How many resets the subscription had met before it was asked for.
    resets: u64,
    since: Instant,
    /// The server has let it in, under this id.
    confirmed: bool,
    /// Its stream has come.
    streaming: bool,
}

impl AskedFor {
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

    /// Whether the subscription has an id here.
    pub(super) fn has(&self, key: u64) -> bool {
        self.ids.contains_key(&key)
    }

    /// Whether this is the subscription's current id.
    pub(super) fn is_current(&self, key: u64, id: u32) -> bool {
        self.ids.get(&key) == Some(&id)
    }

    pub(super) fn slot(&self, id: u32) -> Option<&Arc<Slot>> {
        self.by_id.get(&id).map(|asked| &asked.slot)
    }

    /// Whether the subscription under this id waits for its stream.
    pub(super) fn is_waiting(&self, id: u32) -> bool {
        self.by_id.get(&id).is_some_and(|asked| !asked.streaming)
    }

    /// `resets` are those that the subscription had met before it was asked for.
    pub(super) fn add(&mut self, id: u32, slot: Arc<Slot>, resets: u64) {
        self.ids.insert(slot.key, id);
        let asked = Asked {
            slot,
            resets,
            since: Instant::now(),
            confirmed: false,
            streaming: false,
        };
        self.by_id.insert(id, asked);
    }

    /// The subscription that the server has let in; `None` if it wants none under this id any more.
    pub(super) fn confirm(&mut self, id: u32) -> Option<&Arc<Slot>> {
        let asked = self.by_id.get_mut(&id)?;
        asked.confirmed = true;
        Some(&asked.slot)
    }

    /// The subscription whose stream has come, and the resets it had met when it was asked for; `None` if it wants none under this id, or
    /// has one.
    pub(super) fn begin(&mut self, id: u32) -> Option<(&Arc<Slot>, u64)> {
        let asked = self.by_id.get_mut(&id).filter(|asked| !asked.streaming)?;
        asked.streaming = true;
        Some((&asked.slot, asked.resets))
    }

    /// Forgets a subscription for good, and says under which id the server knows it.
    pub(super) fn remove(&mut self, key: u64) -> Option<u32> {
        self.backoffs.remove(&key);
        let id = self.ids.remove(&key)?;
        self.by_id.remove(&id);
        Some(id)
    }

    /// Takes the id from a subscription, and says which it is and how long to wait before asking for it again: longer each time, until one of
    /// its streams has lasted.
    pub(super) fn put_off(&mut self, id: u32) -> Option<(u64, Duration)> {
        let asked = self.by_id.remove(&id)?;
        let key = asked.slot.key;
        self.ids.remove(&key);
        let backoff = self
            .backoffs
            .entry(key)
            .or_insert_with(|| self.backoff.fork());
        if asked.since.elapsed() >= self.policy.max_delay {
            backoff.reset();
        }
        Some((key, backoff.next()))
    }

    /// The server leaves: what it has not confirmed gets no stream any more.
    pub(super) fn keep_confirmed(&mut self) {
        // By id: one that was confirmed before may have been asked for again, with nobody there to hear it.
        self.by_id
            .retain(|_, asked| asked.streaming || asked.confirmed);
    }
}
