//! [`Log`]: the handle of a log.

use std::sync::Arc;

use qsse_proto::control::{OnLag, Start};
use qsse_proto::{Epoch, EventId};
use qsse_topic::{Filter, TopicRef};

use crate::append::Appender;
use crate::budget::Budget;
use crate::config::Config;
use crate::contained::{contained, contained_now};
use crate::error::{AppendError, StartError};
use crate::event::{Appended, NewEvent};
use crate::group_commit::GroupCommit;
use crate::lineage::Lineage;
use crate::reader::Reader;
use crate::shared::{Shared, UnansweredCall};
use crate::state::State;
use crate::storage::{Storage, StorageError};
use crate::sync::atomic::Ordering;
use crate::time::Now;
use crate::topics::Topics;

mod topics;
mod upkeep;

pub use topics::TopicStats;

/// A log of events. Clones are handles of the same log.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

/// Creating and configuring.
impl Log {
    /// Creates an empty log.
    ///
    /// `epoch` must be random, because cursors of other logs are recognised by it.
    pub fn new(epoch: Epoch, config: Config) -> Self {
        let state = State::new(Topics::new(&config.retention), &config);
        let shared = Shared::new(Lineage::new(epoch), config, state, None);
        Self::of(shared)
    }

    /// Creates a log that writes its events to a storage and continues after those that are there.
    ///
    /// The storage then decides about retention, and [`Config::retention`] has no effect: memory
    /// serves nothing that [`retain`](Self::retain) has removed. Events reach the storage only
    /// while [`run_group_commit`](Self::run_group_commit) runs.
    pub fn stored(storage: Arc<dyn Storage>, config: Config, now: Now) -> Self {
        let recovered = storage.recovered();
        let state = State::recover(&recovered, &config, now);
        let shared = Shared::new(recovered.lineage, config, state, Some(storage));
        Self::of(shared)
    }

    fn of(shared: Shared) -> Self {
        let shared = Arc::new(shared);
        Self { shared }
    }

    /// Declares a topic: [`topics_matching`](Self::topics_matching) lists it even without events.
    pub fn declare(&self, topic: TopicRef<'_>) {
        self.shared.state.lock().topics.pin(topic);
    }

    /// Returns the budget of all memory that is counted, with the limit
    /// [`memory_bytes`](Config::memory_bytes). Charge it with what else the process holds.
    pub fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }
}

/// Appending.
impl Log {
    /// Appends one event.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append(&self, now: Now, event: NewEvent<'_>) -> Result<EventId, AppendError> {
        let mut appender = self.appender(now);
        appender.ready()?;
        appender.push(event)
    }

    /// Appends events as one step, without any other event between them. Returns `None` if there
    /// are none.
    ///
    /// # Errors
    /// [`AppendError`]: nothing was appended.
    pub fn append_all(
        &self,
        now: Now,
        events: &[NewEvent<'_>],
    ) -> Result<Option<Appended>, AppendError> {
        let mut appender = self.appender(now);
        appender.ready()?;
        appender.push_all(events)
    }

    /// Locks the sequencer for several events in a row.
    pub fn appender(&self, now: Now) -> Appender<'_> {
        Appender::new(&self.shared, now)
    }

    /// Waits until every reader that keeps up has taken and handled everything up to `seq`.
    /// Readers that lag are not waited for.
    ///
    /// Cancel-safe.
    pub async fn taken(&self, seq: u64) {
        let shared = &*self.shared;
        let done = || {
            let feeds = shared.state.lock().feeds.read();
            shared.visible.load(Ordering::Acquire) >= seq
                && feeds.iter().all(|feed| feed.is_taken(seq))
        };
        shared.backpressure.until(done).await;
    }
}

/// Reading.
impl Log {
    /// Opens a reader of the events that match `filter`. It catches up when it lags.
    ///
    /// In a log with a storage this finds only starts that are in memory; [`open`](Self::open)
    /// finds all.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn reader(&self, filter: &Filter, start: Start) -> Result<Reader, StartError> {
        self.reader_with(filter, start, OnLag::CatchUp)
    }

    /// Opens a reader as [`reader`](Self::reader) does, with a choice of what happens on lag.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn reader_with(
        &self,
        filter: &Filter,
        start: Start,
        on_lag: OnLag,
    ) -> Result<Reader, StartError> {
        let mut reader = Reader::open(&self.shared, filter, start, on_lag)?;
        reader.select()?;
        Ok(reader)
    }

    /// Opens a reader as [`reader_with`](Self::reader_with) does, at any start.
    ///
    /// Waits for the storage if the start is there.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open(
        &self,
        filter: &Filter,
        start: Start,
        on_lag: OnLag,
    ) -> Result<Reader, StartError> {
        self.open_in_turns(filter, start, on_lag, || std::future::ready(()))
            .await
    }

    /// Opens a reader as [`open`](Self::open) does, part by part.
    ///
    /// A filter may have many patterns, and a start with the last events of each topic looks at all
    /// topics that may match. Each part but the first waits for what `turn` returns, and holds that
    /// until the part is done: other tasks and other searches can have their turns in between.
    /// Dropping the future ends the search.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open_in_turns<F: Future>(
        &self,
        filter: &Filter,
        start: Start,
        on_lag: OnLag,
        turn: impl Fn() -> F,
    ) -> Result<Reader, StartError> {
        let reader = Reader::open_in_turns(&self.shared, filter, start, on_lag, &turn);
        let mut reader = reader.await?;
        reader.select_in_turns(&turn).await?;
        reader.find_start(start, &turn).await?;
        Ok(reader)
    }

    /// Returns the current epoch, which appended events get.
    pub fn epoch(&self) -> Epoch {
        self.shared.lineage.current()
    }

    /// Returns the epochs of the log. With a storage there may be several.
    pub fn lineage(&self) -> &Lineage {
        &self.shared.lineage
    }

    /// Returns the last event whose append is complete; seq 0 before the first.
    pub fn visible(&self) -> EventId {
        self.shared.visible()
    }
}

/// The storage.
impl Log {
    /// Writes appended events to the storage, in groups, until the future is dropped or the storage
    /// has ended. Without a storage the future never completes.
    ///
    /// Let one task run it. While one group is written the next one gathers, so that one sync
    /// serves many publishers. Dropping the future leaves a group in doubt and ends publishing, so
    /// call [`flush`](Self::flush) first. In any case all that wait for the storage get an answer.
    pub async fn run_group_commit(&self, now: impl Fn() -> Now) {
        match self.shared.storage.clone() {
            Some(storage) => GroupCommit::new(&self.shared, storage, now).run().await,
            None => std::future::pending().await,
        }
    }

    /// Returns whether readers see events only after a storage has written them.
    pub fn is_stored_first(&self) -> bool {
        self.shared.is_stored_first()
    }

    /// Waits until it is worth retrying a publish that was [`Busy`](crate::AppendError::Busy).
    ///
    /// Cancel-safe.
    pub async fn room(&self) {
        let shared = &*self.shared;
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

    /// Waits until the storage has everything that was appended before, or accepts no more.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`StorageError`] of the last group.
    pub async fn flush(&self) -> Result<(), StorageError> {
        self.shared.flush().await
    }

    /// Removes what the retention of the storage no longer allows, from the storage and then from
    /// memory. Call it about once a second, one call at a time.
    ///
    /// The feeds of readers are not affected: a live reader sees every event, however few are
    /// retained. This waits for the storage, so do not let [`sweep`](Self::sweep) wait for it.
    /// Cancel-safe.
    pub async fn retain(&self, now: Now) {
        let shared = &*self.shared;
        let Some(storage) = &shared.storage else {
            return;
        };
        let _call = UnansweredCall::begin(shared, now.monotonic, |calls| &mut calls.retain);
        match contained(storage.retain(now)).await {
            Ok(floors) => {
                let mut state = shared.state.lock();
                let visible = shared.visible.load(Ordering::Acquire);
                state.raise_floors(floors, visible);
            }
            Err(error) if error.is_final() => self.end(error),
            Err(error) => tracing::warn!(%error, "the store could not remove old events"),
        }
    }

    /// Refuses all appends from now on, because the storage has ended.
    fn end(&self, error: StorageError) {
        let mut state = self.shared.state.lock();
        if state.closed || state.end().is_some() {
            return;
        }
        state.refusing = Some(error.clone());
        drop(state);
        tracing::error!(%error, "nothing can be published");
        // The group commit answers those that wait.
        self.shared.appended.notify_one();
    }

    /// Closes the storage cleanly. Nothing may be appended afterwards.
    ///
    /// # Errors
    /// [`StorageError`]: the storage is then as after a crash.
    pub async fn close(&self) -> Result<(), StorageError> {
        let shared = &*self.shared;
        let Some(storage) = &shared.storage else {
            return Ok(());
        };
        let (flushed, head) = loop {
            let flushed = shared.flush().await;
            let mut state = shared.state.lock();
            // Waits for what was appended meanwhile too. From here on nothing can be appended.
            if flushed.is_err() || (state.pending.is_empty() && state.writing.is_none()) {
                state.closed = true;
                break (flushed, state.head);
            }
        };
        flushed.and(contained(storage.close(head)).await)
    }

    /// Checks whether the storage allows publishing: it is healthy, and no call of it has been
    /// unanswered for 10 s, which [`sweep`](Self::sweep) monitors.
    ///
    /// # Errors
    /// Why publishing does not work.
    pub fn health(&self) -> Result<(), StorageError> {
        let Some(storage) = &self.shared.storage else {
            return Ok(());
        };
        let state = self.shared.state.lock();
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
}
