//! What a reader gets from the storage.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;

use qsse_proto::batch::Batch;
use qsse_proto::stream::GapReason;
use qsse_topic::{Filter, Topic};

use super::fetched::{Fetched, Item};
use super::selecting::MAX_SELECTED;
use super::{Reader, Step, gap};
use crate::contained::contained;
use crate::feed::Feed;
use crate::read_cache::{self, LONG_STRIDE};
use crate::shared::{Shared, stored_floor};
use crate::storage::{Storage, StorageError, StoredEvents};
use crate::topics::scan::Scan;

/// What [`Reader::find`] found.
pub struct Found(Kind);

enum Kind {
    Nothing,
    Failed(StorageError),
    Events(StoredEvents),
    /// The seq of the last event of each topic.
    Latest(Vec<(Topic, u64)>),
}

impl Reader {
    /// Fetches the events that [`Step::Stored`] announced, about `budget` bytes of them. If that
    /// fails, the next step is [`Step::Unreadable`].
    ///
    /// Cancel-safe: dropping the future changes nothing.
    pub async fn fetch(&mut self, budget: usize) {
        let found = self.find(budget).await;
        self.take_up(found);
    }

    /// Does the first half of [`fetch`](Self::fetch), without borrowing the reader. Pass the result
    /// to [`take_up`](Self::take_up) before the next step.
    pub fn find(&self, budget: usize) -> impl Future<Output = Found> + Send + use<> {
        let storage = self.shared.storage.clone();
        let latest = self.since.as_ref().is_some_and(HashMap::is_empty);
        let until = self.selected_until;
        let search = Search {
            shared: Arc::clone(&self.shared),
            feed: self.feed.shared(),
            filter: self.feed.filter().clone(),
            after: self.position,
            upto: self.fetched.through,
            reported: self.reported,
            budget,
        };
        async move {
            let Some(storage) = storage else {
                return Found(Kind::Nothing);
            };
            let found = if latest {
                search.latest(&*storage, until).await.map(Kind::Latest)
            } else {
                search.events(&*storage).await.map(Kind::Events)
            };
            Found(found.unwrap_or_else(Kind::Failed))
        }
    }

    /// Does the second half of [`fetch`](Self::fetch).
    pub fn take_up(&mut self, found: Found) {
        match found.0 {
            Kind::Nothing => {}
            Kind::Failed(error) => self.failed = Some(error),
            Kind::Events(stored) => self.take_stored(stored),
            Kind::Latest(tail) => self.take_latest(tail),
        }
    }

    fn take_stored(&mut self, stored: StoredEvents) {
        let after = self.position;
        let (reported, reason) = (after.max(self.reported), self.lost_reason());
        let mut items = VecDeque::new();
        if stored.floor > reported {
            self.reported = stored.floor;
            items.push_back(Item::Gap(gap(reported, stored.floor, reason)));
        }
        let mut lost = stored.lost.into_iter().peekable();
        let damaged = |(after, to)| Item::Gap(gap(after, to, GapReason::Damaged));
        for batch in stored.batches {
            while let Some(lost) = lost.next_if(|(_, to)| *to < batch.first_seq()) {
                items.push_back(damaged(lost));
            }
            // QP-7.9
            items.extend(self.shared.lineage.split(batch).map(Item::Batch));
        }
        items.extend(lost.map(damaged));
        let through = stored.through.max(after);
        if items.is_empty() {
            self.position = through;
        }
        self.fetched = Fetched { items, through };
    }

    /// Takes the last event of each topic. A lagging reader gets those that it has missed.
    fn take_latest(&mut self, tail: Vec<(Topic, u64)>) {
        let (after, until) = (self.position, self.selected_until);
        let mut missed = WithMemory::new(tail, 1, until);
        while !missed.part(self) {}
        let mut missed = missed.tail;
        missed.retain(|_, seq| *seq > after);
        let through = missed.values().min().map_or(until, |seq| seq - 1);
        self.reported = until;
        // Too many are skipped.
        self.since = (1..=MAX_SELECTED).contains(&missed.len()).then_some(missed);
        let items = [Item::Gap(gap(after, until, GapReason::Latest))].into();
        self.fetched = Fetched { items, through };
    }

    /// Hands out fetched items: batches, or one gap.
    pub(super) fn take_fetched(&mut self, budget: usize, out: &mut Vec<Batch>) -> Step {
        self.lagging = true;
        let (had, mut room) = (out.len(), budget);
        let mut step = Step::Looking;
        while let Some(item) = self.fetched.items.pop_front() {
            match item {
                Item::Batch(batch) => {
                    room = room.saturating_sub(batch.bytes().len());
                    self.position = batch.last_seq();
                    out.push(batch);
                    step = Step::Batches;
                }
                Item::Gap(gap) if out.len() == had => {
                    step = Step::Gap(gap);
                    room = 0;
                }
                gap @ Item::Gap(_) => {
                    self.fetched.items.push_front(gap);
                    room = 0;
                }
            }
            if room == 0 {
                break;
            }
        }
        if self.fetched.items.is_empty() {
            self.position = self.position.max(self.fetched.through);
        }
        self.filter_since(had, out);
        match step {
            Step::Batches if out.len() == had => Step::Looking,
            step => step,
        }
    }

    /// Drops events that come before the wanted last events of their topics, from the batches after
    /// the first `had`.
    pub(super) fn filter_since(&mut self, had: usize, out: &mut Vec<Batch>) {
        let until = self.selected_until;
        let Some(since) = &self.since else {
            return;
        };
        let wanted = |seq: u64, topic: &str| {
            seq > until || since.get(topic).is_some_and(|first| *first <= seq)
        };
        for batch in out.split_off(had) {
            let part = batch.filter(|event| wanted(event.seq(), event.topic()));
            out.extend(part.map(|part| match part.count() == batch.count() {
                true => part,
                false => self.shared.batches.hold(part),
            }));
        }
        if self.position >= until {
            self.since = None;
        }
    }
}

/// A storage's answer, to which the events in memory are added, as these may not be written yet.
pub(super) struct WithMemory {
    /// For each topic the seq at which its last `n` events up to `until` begin.
    pub(super) tail: HashMap<Topic, u64>,
    n: usize,
    until: u64,
    scan: Scan,
}

impl WithMemory {
    pub(super) fn new(tail: Vec<(Topic, u64)>, n: usize, until: u64) -> Self {
        Self {
            tail: tail.into_iter().collect(),
            n,
            until,
            scan: Scan::default(),
        }
    }

    /// Adds the next part. Returns true if there is no more. The log's lock is released afterwards.
    pub(super) fn part(&mut self, reader: &Reader) -> bool {
        let (tail, n) = (&mut self.tail, self.n);
        reader.last_in_memory(&mut self.scan, (n, self.until), |topic, count, first| {
            let stored = tail.entry(topic.clone()).or_insert(first);
            if count == n {
                *stored = first;
            }
        })
    }
}

/// A search in the storage for what a reader needs next.
struct Search {
    shared: Arc<Shared>,
    feed: Arc<Feed>,
    filter: Filter,
    /// Events in (after, upto] are needed.
    after: u64,
    upto: u64,
    /// Up to here a gap has reported what is missing.
    reported: u64,
    budget: usize,
}

impl Search {
    /// Finds the last event of each topic at or below `until`.
    async fn latest(
        self,
        storage: &dyn Storage,
        until: u64,
    ) -> Result<Vec<(Topic, u64)>, StorageError> {
        // Events that were shown and have left memory may not be written yet.
        let _ = self.shared.flush().await;
        contained(storage.tail(self.filter, 1, until)).await
    }

    /// Finds the next events, from the cache of the feed or from the storage.
    async fn events(self, storage: &dyn Storage) -> Result<StoredEvents, StorageError> {
        if let Some(stored) = self.feed.stored.get(self.after)
            && !self.is_outdated(storage)?
        {
            return Ok(stored);
        }
        let stored = self.read_written(storage).await?;
        if !stored.batches.is_empty() && !self.is_outdated(storage)? {
            let most = self.shared.config.feeds_bytes;
            self.feed.stored.insert(self.after, &stored, most);
        }
        Ok(stored)
    }

    /// Returns whether retention has removed some of the events, so that a cached read must not be
    /// shown.
    fn is_outdated(&self, storage: &dyn Storage) -> Result<bool, StorageError> {
        Ok(stored_floor(storage, &self.filter, self.after)? > self.after)
    }

    /// Reads the next events. Waits until they are written: in memory mode readers may have seen
    /// events that have left memory before that.
    async fn read_written(&self, storage: &dyn Storage) -> Result<StoredEvents, StorageError> {
        let (after, upto) = (self.after, self.upto);
        loop {
            let mut more = pin!(self.shared.stored.notified());
            more.as_mut().enable();
            let ended = self.shared.is_ended();
            let read = read(storage, &self.filter, (after, upto), self.budget);
            let mut stored = contained(read).await?;
            let batches = std::mem::take(&mut stored.batches);
            let count = |batch| self.shared.batches.hold(batch);
            stored.batches = batches.into_iter().map(count).collect();
            if stored.through > after || stored.floor > after.max(self.reported) {
                return Ok(stored);
            }
            if ended {
                // These events will never be written.
                stored.lost.push((after, upto));
                stored.through = upto;
                return Ok(stored);
            }
            more.await;
        }
    }
}

/// Reads one stride. If it ends within a hole, reads on to the end of the hole, so that the hole is
/// reported once.
async fn read(
    storage: &dyn Storage,
    filter: &Filter,
    (after, upto): (u64, u64),
    budget: usize,
) -> Result<StoredEvents, StorageError> {
    let stride = |after| read_cache::end(after, upto, LONG_STRIDE);
    let mut read = storage
        .read(filter.clone(), after, stride(after), budget)
        .await?;
    while read.batches.is_empty()
        && read.through < upto
        && let Some((_, to)) = read.lost.last_mut()
        && *to == read.through
    {
        let through = read.through;
        let mut more = storage
            .read(filter.clone(), through, stride(through), budget)
            .await?;
        match more.lost.first() {
            Some((after, further)) if *after == *to => {
                *to = *further;
                more.lost.remove(0);
                read.lost.append(&mut more.lost);
                read.batches = more.batches;
                read.through = more.through;
                read.floor = read.floor.max(more.floor);
            }
            _ => break,
        }
    }
    Ok(read)
}
