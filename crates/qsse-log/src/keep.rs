//! Keeping: what was appended goes to the storage, in groups, and then to the readers.

mod gathering;

use std::sync::Arc;
use std::time::Duration;

use qsse_topic::{Topic, TopicRef};

use crate::contained::{contained, contained_now};
use crate::feed::Incoming;
use crate::log::{Asked, Log};
use crate::pending::Group;
use crate::storage::{Acknowledge, Entry, Storage, StorageError};
use crate::sync::atomic::Ordering;
use crate::time::Now;

use gathering::Gathering;

/// How long a storage without room is left alone before the next try.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is reserved ahead, so that publishers need not wait for it.
const AHEAD: u64 = 1 << 16;

impl Log {
    /// Gives the storage what is appended, until the future is dropped or the storage has ended; without one it waits for ever.
    ///
    /// To be run by one task. While a group is written the next one gathers: that is what makes one sync do for many
    /// publishers. Dropping the future leaves a group in doubt and ends publishing, so drop it only at the end, after
    /// [`flush`](Self::flush). However it ends, whoever waits for the storage is told.
    pub async fn keep(&self, now: impl Fn() -> Now) {
        let Some(storage) = self.shared().storage.clone() else {
            return std::future::pending().await;
        };
        let _keeping = Keeping(self);
        let mut gathering = Gathering::default();
        loop {
            if let Err(error) = self.reserve(&*storage, &now).await {
                let done = error.is_final();
                self.refuse(error);
                if done {
                    return;
                }
                // Nobody waits for seqs that may not come.
                tokio::time::sleep(PATIENCE).await;
                let mut state = self.shared().state.lock();
                state.accept_again();
                if state.pending.is_empty() {
                    continue;
                }
            }
            if self.is_ended() {
                return;
            }
            if !self.shared().state.lock().pending.is_empty() {
                gathering.gather(self, &now).await;
                let begun = now().monotonic;
                let in_flight = self.keep_pending(&*storage, &now).await;
                gathering.kept(self, in_flight, begun, now().monotonic);
                continue;
            }
            self.shared().appended.notified().await;
        }
    }

    /// Waits until a publish that was [`Busy`](crate::AppendError::Busy) is worth another try.
    ///
    /// Cancel-safe.
    pub async fn room(&self) {
        let shared = self.shared();
        loop {
            let mut stored = std::pin::pin!(shared.stored.notified());
            stored.as_mut().enable();
            {
                let state = shared.state.lock();
                if state.refusing.is_some() || state.has_room(&shared.config) {
                    return;
                }
            }
            stored.await;
        }
    }

    /// Waits until the storage has everything that was appended before, or takes no more.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`StorageError`] of the last group.
    pub async fn flush(&self) -> Result<(), StorageError> {
        let last = {
            let state = self.shared().state.lock();
            let pending = (!state.pending.is_empty()).then(|| state.pending.receipt());
            pending.or_else(|| state.writing.as_ref().map(Group::receipt))
        };
        match last {
            Some(last) => last.kept().await,
            None => Ok(()),
        }
    }

    /// Ends the storage cleanly. Nothing may be appended any more.
    ///
    /// # Errors
    /// [`StorageError`]: it is then as after a crash.
    pub async fn close(&self) -> Result<(), StorageError> {
        let Some(storage) = self.shared().storage.clone() else {
            return Ok(());
        };
        let (flushed, head) = loop {
            let flushed = self.flush().await;
            let mut state = self.shared().state.lock();
            // What came in between is waited for as well; from here on nothing can.
            if flushed.is_err() || (state.pending.is_empty() && state.writing.is_none()) {
                state.closed = true;
                break (flushed, state.head);
            }
        };
        flushed.and(contained(storage.close(head)).await)
    }

    /// Whether events are shown to readers only once a storage has them.
    pub fn is_stored_first(&self) -> bool {
        let shared = self.shared();
        shared.storage.is_some() && shared.config.acknowledge != Acknowledge::Memory
    }

    /// Whether publishing works, as far as the storage goes: it is well, and nothing has waited for its answer for 10 s,
    /// which [`sweep`](Self::sweep) watches.
    ///
    /// # Errors
    /// Why not.
    pub fn health(&self) -> Result<(), StorageError> {
        let Some(storage) = &self.shared().storage else {
            return Ok(());
        };
        let state = self.shared().state.lock();
        let (ended, stalled) = (state.end().cloned(), state.stalled);
        drop(state);
        if let Some(ended) = ended {
            return Err(ended);
        }
        contained_now(|| storage.health())?;
        match stalled {
            Some(waited) => Err(StorageError::stalled(waited)),
            None => Ok(()),
        }
    }

    /// Keeps enough seqs reserved where they are told before they are written.
    async fn reserve(
        &self,
        storage: &dyn Storage,
        now: &impl Fn() -> Now,
    ) -> Result<(), StorageError> {
        let shared = self.shared();
        if shared.config.acknowledge == Acknowledge::Synced {
            return Ok(());
        }
        let (head, reserved) = {
            let state = shared.state.lock();
            (state.head, state.reserved)
        };
        if head + AHEAD / 2 < reserved {
            return Ok(());
        }
        let reserved = {
            let _asked = Asking::since(self, now().monotonic, |asked| &mut asked.reserve);
            contained(storage.reserve(head + AHEAD)).await?
        };
        shared.state.lock().reserved = reserved;
        shared.stored.notify_waiters();
        Ok(())
    }

    /// Gives the storage what is pending; how many events that was, with those that gathered meanwhile.
    async fn keep_pending(&self, storage: &dyn Storage, now: &impl Fn() -> Now) -> u64 {
        let shared = self.shared();
        let (entries, group) = {
            let mut state = shared.state.lock();
            let (entries, group) = state.pending.take();
            state.writing = Some(group.clone());
            (entries, group)
        };
        let acknowledge = shared.config.acknowledge;
        let append = || contained(storage.append(entries.clone(), acknowledge));
        let mut kept = append().await;
        if acknowledge == Acknowledge::Memory {
            // Readers have them already. They are tried again and nothing else is taken meanwhile.
            while let Err(error) = &kept
                && !error.is_final()
            {
                shared.state.lock().refusing = Some(error.clone());
                tracing::error!(%error, "events are not kept yet, and publishing is refused");
                tokio::time::sleep(PATIENCE).await;
                kept = append().await;
            }
            shared.state.lock().accept_again();
        }
        // Before anybody hears of it: who does may publish again at once.
        let in_flight = group.len() + shared.state.lock().pending.len();
        match kept {
            Ok(()) => {
                if self.is_stored_first() {
                    self.show(&entries, now());
                }
                shared.pace.moved();
                shared.state.lock().writing = None;
                group.finish(Ok(()));
            }
            Err(error) => self.give_up(Some((entries, group.clone())), error),
        }
        shared.stored.notify_waiters();
        in_flight
    }

    /// Shows kept events to readers.
    fn show(&self, entries: &[Entry], now: Now) {
        let shared = self.shared();
        for entry in entries {
            // One lock per batch: publishers get in between.
            let mut state = shared.state.lock();
            let budget = state.feeds.budget(&shared.config);
            let events = entry.batch.iter().map(|event| {
                let topic =
                    TopicRef::new(event.topic()).expect("it was a topic when it was pushed");
                (topic, Incoming::from(event))
            });
            state.commit(events, &shared.config, now.monotonic, budget);
            let last = entry.batch.last_seq();
            shared.visible.store(last, Ordering::Release);
        }
    }

    /// A group is not kept, if one was being written, and neither is what was pushed behind it.
    fn give_up(&self, writing: Option<(Vec<Entry>, Group)>, error: StorageError) {
        let mut state = self.shared().state.lock();
        let groups: Vec<_> = writing.into_iter().chain([state.pending.take()]).collect();
        let keys = groups.iter().flat_map(|(entries, group)| {
            let written = entries.iter().flat_map(|entry| &entry.keys);
            written.map(|(_, key)| key).chain(group.unwritten())
        });
        state.dedup.remove(keys);
        for (key, before) in groups.iter().rev().flat_map(|(_, group)| group.before()) {
            state.publishers.undo(*key, *before);
        }
        let first = groups.iter().find(|(entries, _)| !entries.is_empty());
        if self.is_stored_first()
            && let Some((_, first)) = first
        {
            // Nobody was told of these seqs.
            state.head = first.first() - 1;
        }
        if error.is_final() && state.end().is_none() {
            state.refusing = Some(error.clone());
        }
        state.writing = None;
        let any = first.is_some();
        drop(state);
        if any {
            tracing::error!(%error, "events were refused: the store could not keep them");
        }
        for (_, group) in groups {
            group.finish(Err(error.clone()));
        }
    }

    /// Nothing is taken for now, or if the error is final at all.
    fn refuse(&self, error: StorageError) {
        tracing::error!(%error, "nothing can be published");
        if error.is_final() {
            // Nobody else answers those who wait.
            self.give_up(None, error);
        } else {
            self.shared().state.lock().refusing = Some(error);
        }
        self.shared().stored.notify_waiters();
    }

    /// Whether the storage takes no more events.
    pub(crate) fn is_ended(&self) -> bool {
        self.shared().state.lock().end().is_some()
    }

    /// Lets the storage let go of what is not to be kept, and memory of the same. Call it about once a second, one call at a time.
    ///
    /// What readers have in their feeds stays there: who has been live sees every event, however few are kept. It waits for
    /// the storage, so call [`sweep`](Self::sweep) beside it and not behind it. Cancel-safe.
    pub async fn retain(&self, now: Now) {
        let Some(storage) = self.storage() else {
            return;
        };
        let _asked = Asking::since(self, now.monotonic, |asked| &mut asked.retain);
        let error = match contained(storage.retain(now)).await {
            Ok(lost) => return self.let_go(lost),
            Err(error) => error,
        };
        if !error.is_final() {
            tracing::warn!(%error, "the store could not let go of old events");
            return;
        }
        let mut state = self.shared().state.lock();
        if state.closed || state.end().is_some() {
            return;
        }
        state.refusing = Some(error.clone());
        drop(state);
        tracing::error!(%error, "nothing can be published");
        // Whoever keeps tells those who wait.
        self.shared().appended.notify_one();
    }

    /// Lets memory go of what the storage has let go of.
    fn let_go(&self, floors: Vec<(Topic, u64)>) {
        let shared = self.shared();
        let state = &mut *shared.state.lock();
        state.let_go.extend(floors);
        for (topic, floor) in &state.let_go {
            state.topics.let_go(topic.as_topic_ref(), *floor);
        }
        // The storage has events earlier than memory: those that come yet go with the next call.
        let visible = shared.visible.load(Ordering::Acquire);
        state.let_go.retain(|(_, floor)| *floor > visible);
    }

    /// Where the events are kept, if anywhere.
    pub(crate) fn storage(&self) -> Option<&Arc<dyn Storage>> {
        self.shared().storage.as_ref()
    }
}

/// Tells everybody who waits for the storage when nobody keeps any more: its task has ended, was dropped with its runtime, or panicked.
struct Keeping<'l>(&'l Log);

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        let shared = self.0.shared();
        let mut state = shared.state.lock();
        let ended = || StorageError::ended("nothing is given to it any more");
        let error = state.end().cloned().unwrap_or_else(ended);
        // What is in doubt is neither shown nor forgotten, and its seqs are not given to others.
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
        shared.pace.moved();
    }
}

/// A call to the storage that [`Log::sweep`] watches until this is dropped.
struct Asking<'l> {
    log: &'l Log,
    call: fn(&mut Asked) -> &mut Option<Duration>,
}

impl<'l> Asking<'l> {
    fn since(log: &'l Log, now: Duration, call: fn(&mut Asked) -> &mut Option<Duration>) -> Self {
        *call(&mut log.shared().state.lock().asked) = Some(now);
        Self { log, call }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        *(self.call)(&mut self.log.shared().state.lock().asked) = None;
    }
}
