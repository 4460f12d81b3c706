//! What was appended and is not kept yet: the group that the storage gets next.

use std::sync::Arc;

use qsse_proto::batch::{Batch, Builder};
use tokio::sync::watch;

use crate::dedup::Key;
use crate::feed::Incoming;
use crate::publishers::{PublisherKey, Run, Sequence};
use crate::storage::{Entry, StorageError};

/// What became of a group; `None` until it is known.
type Outcome = Option<Result<(), StorageError>>;

/// Events on their way to the storage, and who waits for them.
pub(crate) struct Pending {
    entries: Vec<Entry>,
    open: Builder,
    keys: Vec<(u64, Key)>,
    /// What publishers have published of the group.
    runs: Vec<(PublisherKey, Run)>,
    /// The last number of each publisher before each of its turns in the group.
    before: Vec<Before>,
    /// Keys of publishes to many topics, which are not written.
    unwritten: Vec<Key>,
    bytes: usize,
    group: Group,
}

/// Events that the storage takes in one go.
#[derive(Clone)]
pub(crate) struct Group {
    first: u64,
    last: u64,
    outcome: Arc<watch::Sender<Outcome>>,
    unwritten: Arc<[Key]>,
    before: Arc<[Before]>,
}

/// A publisher, and its last number before a turn; `None` if it had none.
pub(crate) type Before = (PublisherKey, Option<u64>);

/// The promise that an append is kept: await [`kept`](Receipt::kept).
#[derive(Clone)]
pub struct Receipt(Option<watch::Receiver<Outcome>>);

impl Receipt {
    /// For what is kept already, as far as it is to be.
    pub(crate) const KEPT: Self = Self(None);

    /// Waits until the events are as safe as the log promises.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`StorageError`]: they are not kept, no reader has seen them, and none will.
    pub async fn kept(mut self) -> Result<(), StorageError> {
        let Some(outcome) = &mut self.0 else {
            return Ok(());
        };
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Err(error))) => Err(error.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(StorageError::ended("the log has ended")),
        }
    }
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            open: Builder::new(),
            keys: Vec::new(),
            runs: Vec::new(),
            before: Vec::new(),
            unwritten: Vec::new(),
            bytes: 0,
            group: Group::new(),
        }
    }
}

impl Pending {
    pub(crate) fn push(&mut self, event: Incoming<'_>) {
        if !event.fits(&self.open) {
            self.seal();
        }
        let before = self.open.len();
        event.push_to(&mut self.open);
        self.bytes += self.open.len() - before;
        if self.group.last == 0 {
            self.group.first = event.seq;
        }
        self.group.last = event.seq;
    }

    /// The key of the publish whose event was pushed last; it is written with it if it is `stored`.
    pub(crate) fn key(&mut self, seq: u64, key: Key, stored: bool) {
        if self.open.last_seq() != Some(seq) {
            return;
        }
        if stored {
            self.keys.push((seq, key));
        } else {
            self.unwritten.push(key);
        }
    }

    /// What a publisher has published in a turn that just ended.
    pub(crate) fn sequence(&mut self, sequence: &Sequence) {
        if self.is_empty() || sequence.runs.is_empty() {
            return;
        }
        self.before.push((sequence.key, sequence.before));
        let runs = sequence.runs.iter().filter(|run| run.events > 0);
        self.runs.extend(runs.map(|run| (sequence.key, *run)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.group.last == 0
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many events there are.
    pub(crate) fn len(&self) -> u64 {
        self.group.len()
    }

    /// For whoever waits for what was pushed.
    pub(crate) fn receipt(&self) -> Receipt {
        self.group.receipt()
    }

    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// Everything, for the storage.
    pub(crate) fn take(&mut self) -> (Vec<Entry>, Group) {
        self.seal();
        self.bytes = 0;
        let mut entries = std::mem::take(&mut self.entries);
        distribute(std::mem::take(&mut self.runs), &mut entries);
        let mut group = std::mem::replace(&mut self.group, Group::new());
        group.unwritten = std::mem::take(&mut self.unwritten).into();
        group.before = std::mem::take(&mut self.before).into();
        (entries, group)
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            let batch: Batch = self.open.finish();
            let keys = std::mem::take(&mut self.keys);
            let runs = Vec::new();
            self.entries.push(Entry { batch, keys, runs });
        }
    }
}

/// Gives each entry its part of the runs; both are in the order of their seqs.
fn distribute(runs: Vec<(PublisherKey, Run)>, entries: &mut [Entry]) {
    let mut entries = entries.iter_mut().peekable();
    for (key, mut run) in runs {
        while let Some(entry) = entries.peek_mut() {
            let last = entry.batch.last_seq();
            let (part, rest) = run.split_behind(last);
            entry.runs.extend(part.map(|part| (key, part)));
            let Some(rest) = rest else {
                break;
            };
            run = rest;
            entries.next();
        }
    }
}

impl Group {
    fn new() -> Self {
        Self {
            first: 0,
            last: 0,
            outcome: Arc::new(watch::Sender::new(None)),
            unwritten: Arc::new([]),
            before: Arc::new([]),
        }
    }

    /// Keys that are not among those of the entries.
    pub(crate) fn unwritten(&self) -> &[Key] {
        &self.unwritten
    }

    /// The last numbers of publishers before the group, the newest turn first.
    pub(crate) fn before(&self) -> impl Iterator<Item = &Before> {
        self.before.iter().rev()
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// How many events it has: their seqs follow one another.
    pub(crate) fn len(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first.max(1))
    }

    pub(crate) fn holds(&self, seq: u64) -> bool {
        (self.first..=self.last).contains(&seq)
    }

    pub(crate) fn receipt(&self) -> Receipt {
        Receipt(Some(self.outcome.subscribe()))
    }

    pub(crate) fn finish(&self, outcome: Result<(), StorageError>) {
        self.outcome.send_replace(Some(outcome));
    }
}
