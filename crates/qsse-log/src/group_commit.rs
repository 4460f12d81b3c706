//! [`GroupCommit`]: writes appended events to the storage in groups and then shows them to readers.

mod gathering;

use std::sync::Arc;
use std::time::Duration;

use qsse_topic::TopicRef;

use crate::config::Acknowledge;
use crate::contained::contained;
use crate::event::Incoming;
use crate::pending::Group;
use crate::shared::{Shared, UnansweredCall};
use crate::storage::{Entry, Storage, StorageError};
use crate::sync::atomic::Ordering;
use crate::time::Now;

use gathering::Gathering;

/// The pause before a storage that has no room is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How many seqs are reserved ahead, so that publishers need not wait for it.
const RESERVED_AHEAD: u64 = 1 << 16;

/// Writes appended events to the storage in groups.
pub(crate) struct GroupCommit<'l, N> {
    shared: &'l Shared,
    storage: Arc<dyn Storage>,
    now: N,
}

impl<'l, N: Fn() -> Now> GroupCommit<'l, N> {
    pub(crate) fn new(shared: &'l Shared, storage: Arc<dyn Storage>, now: N) -> Self {
        Self {
            shared,
            storage,
            now,
        }
    }

    /// Writes groups until the storage has ended.
    pub(crate) async fn run(self) {
        let _ending = Ending(self.shared);
        let mut gathering = Gathering::default();
        loop {
            if let Err(error) = self.reserve().await {
                let ended = error.is_final();
                self.refuse(error);
                if ended {
                    return;
                }
                // Publishers do not wait for seqs that may never be reserved.
                tokio::time::sleep(RETRY_PAUSE).await;
                let mut state = self.shared.state.lock();
                state.accept_again();
                if state.pending.is_empty() {
                    continue;
                }
            }
            if self.shared.is_ended() {
                return;
            }
            if self.shared.state.lock().pending.is_empty() {
                self.shared.appended.notified().await;
                continue;
            }
            gathering.gather(self.shared, &self.now).await;
            let begun = (self.now)().monotonic;
            let in_flight = self.write_pending().await;
            let ended = (self.now)().monotonic;
            gathering.written(self.shared, in_flight, begun, ended);
        }
    }

    /// Reserves enough seqs, if events are acknowledged before they are synced.
    async fn reserve(&self) -> Result<(), StorageError> {
        let shared = self.shared;
        if shared.config.acknowledge == Acknowledge::Synced {
            return Ok(());
        }
        let (head, reserved) = {
            let state = shared.state.lock();
            (state.head, state.reserved)
        };
        if head + RESERVED_AHEAD / 2 < reserved {
            return Ok(());
        }
        let reserved = {
            let now = (self.now)().monotonic;
            let _call = UnansweredCall::begin(shared, now, |calls| &mut calls.reserve);
            contained(self.storage.reserve(head + RESERVED_AHEAD)).await?
        };
        shared.state.lock().reserved = reserved;
        shared.stored.notify_waiters();
        Ok(())
    }

    /// Writes the pending events as a group. Returns how many there were, together with those that
    /// became pending meanwhile.
    async fn write_pending(&self) -> u64 {
        let shared = self.shared;
        let (entries, group) = self.take_pending();
        let written = self.write(&entries).await;
        // Counted before anything is acknowledged: publishers may publish again at once.
        let in_flight = group.len() + shared.state.lock().pending.len();
        match written {
            Ok(()) => self.finish(&entries, &group),
            Err(error) => self.give_up(Some((entries, group)), error),
        }
        shared.stored.notify_waiters();
        in_flight
    }

    fn take_pending(&self) -> (Vec<Entry>, Group) {
        let mut state = self.shared.state.lock();
        let (entries, group) = state.pending.take();
        state.writing = Some(group.clone());
        (entries, group)
    }

    async fn write(&self, entries: &[Entry]) -> Result<(), StorageError> {
        let shared = self.shared;
        let acknowledge = shared.config.acknowledge;
        let append = || contained(self.storage.append(entries.to_vec(), acknowledge));
        let mut written = append().await;
        if acknowledge == Acknowledge::Memory {
            // Readers have seen these events, so they are tried again, and nothing else is
            // accepted meanwhile.
            while let Err(error) = &written
                && !error.is_final()
            {
                shared.state.lock().refusing = Some(error.clone());
                tracing::error!(%error, "events are not stored yet, and publishing is refused");
                tokio::time::sleep(RETRY_PAUSE).await;
                written = append().await;
            }
            shared.state.lock().accept_again();
        }
        written
    }

    /// Shows a written group to readers and acknowledges it.
    fn finish(&self, entries: &[Entry], group: &Group) {
        if self.shared.is_stored_first() {
            self.show(entries, (self.now)());
        }
        self.shared.backpressure.moved();
        self.shared.state.lock().writing = None;
        group.finish(Ok(()));
    }

    /// Shows written events to readers.
    fn show(&self, entries: &[Entry], now: Now) {
        let shared = self.shared;
        for entry in entries {
            // Locked anew for each batch, so that publishers get their turn.
            let mut state = shared.state.lock();
            let events = entry.batch.iter().map(|event| {
                let topic =
                    TopicRef::new(event.topic()).expect("it was a topic when it was pushed");
                (topic, Incoming::from(event))
            });
            state.show(events, &shared.config, now.monotonic);
            let last = entry.batch.last_seq();
            shared.visible.store(last, Ordering::Release);
        }
    }

    /// Drops the group that was being written, if any, and everything that was pushed after it.
    fn give_up(&self, writing: Option<(Vec<Entry>, Group)>, error: StorageError) {
        let mut state = self.shared.state.lock();
        let groups: Vec<_> = writing.into_iter().chain([state.pending.take()]).collect();
        let keys = groups.iter().flat_map(|(entries, group)| {
            let written = entries.iter().flat_map(|entry| &entry.keys);
            written.map(|(_, key)| key).chain(group.unwritten())
        });
        state.dedup.remove(keys);
        for (id, before) in groups.iter().rev().flat_map(|(_, group)| group.before()) {
            state.publishers.undo(*id, *before);
        }
        let first = groups.iter().find(|(entries, _)| !entries.is_empty());
        if self.shared.is_stored_first()
            && let Some((_, first)) = first
        {
            // These seqs were shown to nobody, so others may get them.
            state.head = first.first() - 1;
        }
        if error.is_final() && state.end().is_none() {
            state.refusing = Some(error.clone());
        }
        state.writing = None;
        let any = first.is_some();
        drop(state);
        if any {
            tracing::error!(%error, "events were refused: the store could not write them");
        }
        for (_, group) in groups {
            group.finish(Err(error.clone()));
        }
    }

    /// Refuses appends: for good after a final error, otherwise until the next attempt.
    fn refuse(&self, error: StorageError) {
        tracing::error!(%error, "nothing can be published");
        if error.is_final() {
            // No group follows that would answer the waiting publishers.
            self.give_up(None, error);
        } else {
            self.shared.state.lock().refusing = Some(error);
        }
        self.shared.stored.notify_waiters();
    }
}

/// Answers all that wait for the storage when the group commit ends: its storage has ended, or its
/// task was dropped or has panicked.
struct Ending<'l>(&'l Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let shared = self.0;
        let mut state = shared.state.lock();
        let ended = || StorageError::ended("nothing is given to it any more");
        let error = state.end().cloned().unwrap_or_else(ended);
        // These events are in doubt: they are neither shown nor forgotten, and their seqs are not
        // assigned again.
        let groups = [
            state.writing.take(),
            (!state.pending.is_empty()).then(|| state.pending.take().1),
        ];
        state.refusing = Some(error.clone());
        drop(state);
        for group in groups.into_iter().flatten() {
            group.finish(Err(error.clone()));
        }
        shared.stored.notify_waiters();
        shared.backpressure.moved();
    }
}
