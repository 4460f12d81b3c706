//! [`Pending`]: appended events that the storage gets next.

use std::sync::Arc;

use qsse_proto::batch::{Batch, Builder};
use tokio::sync::watch;

use crate::event::Incoming;
use crate::key::PublishKey;
use crate::publisher::{PublisherId, PublisherRun};
use crate::publishers::Sequence;
use crate::storage::{Entry, StorageError};

/// The outcome of a group; `None` until it is known.
type Outcome = Option<Result<(), StorageError>>;

/// The events that the storage gets next, and those that wait for them.
pub(crate) struct Pending {
    entries: Vec<Entry>,
    open: Builder,
    keys: Vec<(u64, PublishKey)>,
    /// The runs of publishers in the group.
    runs: Vec<(PublisherId, PublisherRun)>,
    /// The last number of each publisher before each of its turns in the group.
    before: Vec<Before>,
    /// Keys of publishes to many topics, which are not stored.
    unwritten: Vec<PublishKey>,
    bytes: usize,
    group: Group,
}

/// Events that are written to the storage together.
#[derive(Clone)]
pub(crate) struct Group {
    first: u64,
    last: u64,
    outcome: Arc<watch::Sender<Outcome>>,
    unwritten: Arc<[PublishKey]>,
    before: Arc<[Before]>,
}

/// A publisher and its last number before a turn; `None` if it had none.
pub(crate) type Before = (PublisherId, Option<u64>);

/// The receipt of an append: [`stored`](Receipt::stored) waits until the events are safe.
#[derive(Clone)]
pub struct Receipt(Option<watch::Receiver<Outcome>>);

impl Receipt {
    /// The receipt of events that are already as safe as required.
    pub(crate) const DONE: Self = Self(None);

    /// Waits until the events are as safe as [`Acknowledge`](crate::Acknowledge) requires.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`StorageError`]: the events are not stored, and no reader has seen them or will.
    pub async fn stored(mut self) -> Result<(), StorageError> {
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

    /// Adds the key of the publish whose event was pushed last. If it is `stored`, it is written
    /// with the event.
    pub(crate) fn key(&mut self, seq: u64, key: PublishKey, stored: bool) {
        if self.open.last_seq() != Some(seq) {
            return;
        }
        if stored {
            self.keys.push((seq, key));
        } else {
            self.unwritten.push(key);
        }
    }

    /// Adds the publishes of a turn that has just ended.
    pub(crate) fn sequence(&mut self, sequence: &Sequence) {
        if self.is_empty() || sequence.runs.is_empty() {
            return;
        }
        self.before.push((sequence.id, sequence.before));
        let runs = sequence.runs.iter().filter(|run| run.events > 0);
        self.runs.extend(runs.map(|run| (sequence.id, *run)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.group.last == 0
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of events.
    pub(crate) fn len(&self) -> u64 {
        self.group.len()
    }

    /// Returns the receipt of everything that was pushed.
    pub(crate) fn receipt(&self) -> Receipt {
        self.group.receipt()
    }

    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// Takes everything, for the storage.
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

/// Gives each entry its part of the runs. Both are in the order of their seqs.
fn distribute(runs: Vec<(PublisherId, PublisherRun)>, entries: &mut [Entry]) {
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

    /// Returns the keys that are not in the entries.
    pub(crate) fn unwritten(&self) -> &[PublishKey] {
        &self.unwritten
    }

    /// Returns the last numbers of publishers before the group, the newest turn first.
    pub(crate) fn before(&self) -> impl Iterator<Item = &Before> {
        self.before.iter().rev()
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Returns the number of events. Their seqs are consecutive.
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

#[cfg(test)]
mod tests {
    use qsse_proto::{Epoch, EventId, Timestamp};

    use super::*;
    use crate::event::Appended;
    use crate::publishers::Publishers;

    const ADA: PublisherId = [1; 16];

    fn push(pending: &mut Pending, seq: u64, bytes: usize) {
        pending.push(Incoming {
            seq,
            time: Timestamp::default(),
            topic: "a",
            kind: "message",
            data: &vec![b'x'; bytes],
        });
    }

    /// Ada's turn after number 4. Each publish has one event, or none if its seq is 0.
    fn turn(publishes: &[(u64, u64)]) -> Sequence {
        let mut sequence = Publishers::default().sequence(ADA);
        for &(number, seq) in publishes {
            let id = EventId::new(Epoch::new(1), seq);
            let appended = Appended {
                first: id,
                last: id,
            };
            sequence.push(number, (seq > 0).then_some(appended));
        }
        sequence
    }

    #[test]
    fn each_batch_is_stored_with_the_publishes_in_it() {
        let mut pending = Pending::default();
        (10..=13).for_each(|seq| push(&mut pending, seq, 30_000));
        assert_eq!((pending.len(), pending.is_empty()), (4, false));
        assert!(pending.bytes() > 120_000);
        pending.sequence(&turn(&[(5, 10), (6, 11), (7, 12), (8, 0), (9, 13)]));
        let (entries, group) = pending.take();
        let run = |number, count, first| {
            let events = count;
            (
                ADA,
                PublisherRun {
                    number,
                    count,
                    first,
                    events,
                },
            )
        };
        let [first, second] = &entries[..] else {
            panic!("two batches")
        };
        assert_eq!(first.runs, [run(5, 2, 10)]);
        assert_eq!(second.runs, [run(7, 1, 12), run(9, 1, 13)]);
        assert_eq!(group.before().collect::<Vec<_>>(), [&(ADA, None)]);
        assert_eq!((group.first(), group.len()), (10, 4));
        let holds = [9, 10, 13, 14].map(|seq| group.holds(seq));
        assert_eq!(holds, [false, true, true, false]);
        assert_eq!(
            (pending.len(), pending.bytes(), pending.is_empty()),
            (0, 0, true)
        );
    }

    #[test]
    fn a_turn_without_events_is_no_part_of_a_group() {
        let mut pending = Pending::default();
        pending.sequence(&turn(&[(5, 0)]));
        assert_eq!(pending.group().len(), 0);
        assert_eq!(pending.take().1.before().count(), 0);
        push(&mut pending, 1, 10);
        pending.sequence(&turn(&[]));
        assert_eq!(pending.take().1.before().count(), 0);
    }

    #[test]
    fn a_key_goes_with_its_event_or_with_the_group() {
        let key = |text: &'static str| PublishKey::new([0; 16], text);
        let mut pending = Pending::default();
        push(&mut pending, 1, 10);
        pending.key(1, key("stored"), true);
        pending.key(1, key("many"), false);
        pending.key(2, key("of another"), true);
        let (entries, group) = pending.take();
        assert_eq!(entries[0].keys, [(1, key("stored"))]);
        assert_eq!(group.unwritten(), [key("many")]);
    }
}
