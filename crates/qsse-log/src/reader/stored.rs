//! What a reader gets from the storage.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;

use qsse_proto::batch::Batch;
use qsse_proto::stream::{Gap, GapReason};
use qsse_topic::{Filter, Topic};

use super::start::SELECTED;
use super::{Reader, Step, gap_of};
use crate::contained::contained;
use crate::recent::{self, LONG_STRIDE};
use crate::storage::{Storage, StorageError, Stored};

/// What came from the storage.
#[derive(Default)]
pub(super) struct Fetched {
    pub(super) items: VecDeque<Item>,
    /// Where the position is once all of it is handed out.
    pub(super) through: u64,
}

pub(super) enum Item {
    Batch(Batch),
    Gap(Gap),
}

/// What [`Reader::find`] found.
pub struct Found(Kind);

enum Kind {
    Nothing,
    Failed(StorageError),
    Read(Stored),
    Latest(Vec<(Topic, u64)>),
}

impl Reader {
    /// Gets what [`Step::Stored`] announced, about `budget` bytes of it. If that fails, the next step is [`Step::Unreadable`].
    ///
    /// Cancel-safe: a fetch that is dropped is as one that was never begun.
    pub async fn fetch(&mut self, budget: usize) {
        let found = self.find(budget).await;
        self.take_up(found);
    }

    /// The first half of [`fetch`](Self::fetch), which does not borrow the reader: give what it finds to
    /// [`take_up`](Self::take_up) before the next step.
    pub fn find(&self, budget: usize) -> impl Future<Output = Found> + Send + use<> {
        let (log, storage) = (self.log.clone(), self.log.storage().cloned());
        let (feed, filter) = (Arc::clone(&self.feed), self.feed.filter().clone());
        let told = self.told;
        let (after, most) = (self.position, self.log.config().feeds_bytes);
        let upto = self.fetched.through;
        let latest = self.since.as_ref().is_some_and(HashMap::is_empty);
        let until = self.selected_until;
        async move {
            let Some(storage) = storage else {
                return Found(Kind::Nothing);
            };
            if latest {
                // What was shown and has left memory may not be written yet.
                let _ = log.flush().await;
                let tail = contained(storage.tail(filter, 1, until)).await;
                return Found(tail.map_or_else(Kind::Failed, Kind::Latest));
            }
            Found(Kind::Read(match feed.stored.get(after) {
                // What retention has let go of since is not shown.
                Some(stored) if storage.floor(&filter, after) <= after => stored,
                _ => {
                    let stored = loop {
                        let mut more = pin!(log.shared().stored.notified());
                        more.as_mut().enable();
                        let ended = log.is_ended();
                        let read = read(&*storage, &filter, (after, upto), budget);
                        let mut stored = match contained(read).await {
                            Ok(stored) => stored,
                            Err(error) => return Found(Kind::Failed(error)),
                        };
                        if stored.through > after || stored.floor > after.max(told) {
                            break stored;
                        }
                        if ended {
                            // Shown before it was written, and now it never will be.
                            stored.lost.push((after, upto));
                            stored.through = upto;
                            break stored;
                        }
                        // Shown before it was written, it has left the memory and is not there yet.
                        more.await;
                    };
                    // What retention has let go of is not remembered.
                    if !stored.batches.is_empty() && storage.floor(&filter, after) <= after {
                        feed.stored.insert(after, &stored, most);
                    }
                    stored
                }
            }))
        }
    }

    /// The second half of [`fetch`](Self::fetch).
    pub fn take_up(&mut self, found: Found) {
        match found.0 {
            Kind::Nothing => {}
            Kind::Failed(error) => self.failed = Some(error),
            Kind::Read(stored) => self.take_stored(stored),
            Kind::Latest(tail) => self.take_latest(tail),
        }
    }

    fn take_stored(&mut self, stored: Stored) {
        let after = self.position;
        let (told, reason) = (after.max(self.told), self.lost_reason());
        let mut items = VecDeque::new();
        if stored.floor > told {
            self.told = stored.floor;
            items.push_back(Item::Gap(gap_of(told, stored.floor, reason)));
        }
        let mut lost = stored.lost.into_iter().peekable();
        let gap = |(after, to)| Item::Gap(gap_of(after, to, GapReason::Damaged));
        for batch in stored.batches {
            while let Some(lost) = lost.next_if(|(_, to)| *to < batch.first_seq()) {
                items.push_back(gap(lost));
            }
            // QP-7.9
            items.extend(self.log.lineage().split(batch).map(Item::Batch));
        }
        items.extend(lost.map(gap));
        let through = stored.through.max(after);
        if items.is_empty() {
            self.position = through;
        }
        self.fetched = Fetched { items, through };
    }

    /// The last event of each topic, of which a lagging reader gets those that it has missed.
    fn take_latest(&mut self, tail: Vec<(Topic, u64)>) {
        let (after, until) = (self.position, self.selected_until);
        let mut missed = self.with_memory(tail, 1, until);
        missed.retain(|_, seq| *seq > after);
        let through = missed.values().min().map_or(until, |seq| seq - 1);
        self.told = until;
        // More than that is as good as skipping them.
        self.since = (1..=SELECTED).contains(&missed.len()).then_some(missed);
        let items = [Item::Gap(gap_of(after, until, GapReason::Latest))].into();
        self.fetched = Fetched { items, through };
    }

    /// The storage's answer with what is in memory and perhaps not written yet: for each topic where its last `n` events begin.
    pub(super) fn with_memory(
        &self,
        tail: Vec<(Topic, u64)>,
        n: usize,
        until: u64,
    ) -> HashMap<Topic, u64> {
        let mut tail: HashMap<_, _> = tail.into_iter().collect();
        let state = self.log.shared().state.lock();
        for (topic, count, first) in state.topics.last(self.feed.filter(), n, until) {
            let stored = tail.entry(topic).or_insert(first);
            if count == n {
                *stored = first;
            }
        }
        tail
    }

    /// Hands out what was fetched.
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
        self.keep_since(had, out);
        match step {
            Step::Batches if out.len() == had => Step::Looking,
            step => step,
        }
    }

    /// Leaves out events that come before the last ones of their topics.
    pub(super) fn keep_since(&mut self, had: usize, out: &mut Vec<Batch>) {
        let until = self.selected_until;
        let Some(since) = &self.since else {
            return;
        };
        let wanted = |seq: u64, topic: &str| {
            seq > until || since.get(topic).is_some_and(|first| *first <= seq)
        };
        for batch in out.split_off(had) {
            out.extend(batch.filter(|event| wanted(event.seq(), event.topic())));
        }
        if self.position >= until {
            self.since = None;
        }
    }
}

/// Reads a stride; where it ends within a hole, on to the hole's end, so that it is told once.
async fn read(
    storage: &dyn Storage,
    filter: &Filter,
    (after, upto): (u64, u64),
    budget: usize,
) -> Result<Stored, StorageError> {
    let stride = |after| recent::end(after, upto, LONG_STRIDE);
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
