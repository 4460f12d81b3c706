//! [`Reader`]: reads events while others are appended.

mod plan;
mod query;

use crate::error::Health;
use crate::format::Record;
use crate::lost::add_lost;
use crate::segment::{Segment, batch_in};
use crate::state::Shared;
use bytes::Bytes;
use plan::{Item, Plan};
use qsse_proto::batch::{Batch, Builder, EventRef};
use qsse_topic::{Filter, PatternRef, Topic, TopicRef};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A handle for reading. Clones are cheap, and each thread may have its own. Reading never waits
/// for an append.
#[derive(Clone)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

/// Events that were read, and what is missing between them.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StoredEvents {
    /// The matching events, in order.
    pub batches: Vec<Batch>,
    /// Seqs of matching events that may be lost by damage or an unclean end, each as (after, to],
    /// in order. No range lies within a batch.
    pub lost: Vec<(u64, u64)>,
    /// The read is complete up to here: the `after` of the next read.
    pub through: u64,
    /// If above the requested `after`: matching events up to here may have been removed, and those
    /// that are retained are in the batches. Otherwise any seq that is not above it.
    pub floor: u64,
}

/// The most bytes that are read at once, unless a single record is longer.
const CHUNK: u64 = 256 << 10;
/// The most bytes that one call reads, approximately.
const READ_BYTES: u64 = 4 << 20;
/// The most segments that one call searches.
const SEGMENTS: usize = 16;
/// Batches of at least this size are returned as they were stored. Smaller ones are combined.
const WHOLE_BATCH: usize = 1 << 10;

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns whether the store can take events.
    pub fn health(&self) -> Health {
        self.shared.health.lock().clone()
    }

    /// Reads the events in (after, upto] that match `filter`, until about `budget` bytes are found.
    ///
    /// One call does a limited amount of work, so it may advance without finding anything. Call it
    /// again with [`through`](StoredEvents::through) as `after`, until that is `upto` or no longer
    /// advances because nothing later was appended. Damage does not end a read: it is reported, and
    /// the rest is read. Files that the system cannot read now are reported in the same way, and
    /// another call may succeed.
    ///
    /// Stored batches of at least 1 KiB that match as a whole are returned without copying, as
    /// slices of the bytes that were read.
    pub fn read(&self, filter: &Filter, after: u64, upto: u64, budget: usize) -> StoredEvents {
        let known = self.shared.state.read().known;
        let mut reading = Reading {
            shared: &self.shared,
            filter,
            takes_all: PatternRef::try_from("*").is_ok_and(|all| filter.contains(all)),
            upto: upto.min(known),
            budget: budget.max(1),
            position: after,
            open: Builder::new(),
            found: 0,
            read: 0,
            out: StoredEvents::default(),
        };
        reading.run();
        reading.seal();
        let mut out = reading.out;
        out.through = reading.position;
        out.floor = self.floor_above(filter, after);
        out
    }
}

/// A read in progress.
struct Reading<'a> {
    shared: &'a Shared,
    filter: &'a Filter,
    /// Whether the filter is or contains `*`.
    takes_all: bool,
    upto: u64,
    budget: usize,
    /// Everything up to here is done.
    position: u64,
    /// Events that are not returned in a batch of their own.
    open: Builder,
    /// Bytes of the sealed batches so far.
    found: usize,
    /// Bytes read from files so far.
    read: u64,
    out: StoredEvents,
}

impl Reading<'_> {
    fn run(&mut self) {
        for _ in 0..SEGMENTS {
            if self.position >= self.upto || self.is_enough() {
                return;
            }
            let (removed, segment) = {
                let state = self.shared.state.read();
                match state.segment_at(self.position + 1) {
                    Some((_, segment)) => (state.topics.begin, Arc::clone(segment)),
                    None => break,
                }
            };
            let begin = (segment.first - 1).min(self.upto);
            // The floors cover the events of removed segments.
            self.position = self.position.max(removed.min(begin));
            self.lose(begin);
            if self.position >= self.upto {
                return;
            }
            self.segment(&segment);
        }
        let state = self.shared.state.read();
        let behind_all = state.segment_at(self.position + 1).is_none();
        let removed = state.topics.begin;
        drop(state);
        if behind_all {
            self.position = self.position.max(removed.min(self.upto));
            self.lose(self.upto);
        }
    }

    fn is_enough(&self) -> bool {
        self.found + self.open.len() >= self.budget || self.read >= READ_BYTES
    }

    fn segment(&mut self, segment: &Arc<Segment>) {
        let upto = self.upto.min(segment.end());
        match self.plan(segment, upto) {
            Some(Plan::Sequence(records)) => self.sequence(segment, &records, upto),
            Some(Plan::Selected(items)) => self.selected(segment, items, upto),
            // The contents of the segment are unknown.
            None => self.lose(upto),
        }
    }

    fn plan(&self, segment: &Arc<Segment>, upto: u64) -> Option<Plan> {
        let files = &self.shared.files;
        let chunk = CHUNK.min(self.budget as u64);
        let floors = (!self.takes_all).then(|| self.floors());
        let ask = |floors: Option<&HashMap<Topic, u64>>| {
            segment.index(files, |index| {
                plan::plan(index, self.filter, self.position, upto, chunk, floors)
            })
        };
        let once = || ask(floors.as_ref()).and_then(|plan| plan);
        match once() {
            Ok(plan) => Some(plan),
            Err(_) => {
                segment.distrust(files);
                let again = once().or_else(|_| ask(None).and_then(|plan| plan));
                again.ok()
            }
        }
    }

    /// Returns the floors of matching topics that are above the position. Call it before reading an
    /// index.
    fn floors(&self) -> HashMap<Topic, u64> {
        let mut floors = HashMap::new();
        if self.shared.state.read().topics.max_floor() <= self.position {
            return floors;
        }
        self.shared.search(self.filter, |topic, state| {
            if state.floor > self.position {
                floors.insert(topic.clone(), state.floor);
            }
            ControlFlow::Continue(())
        });
        floors
    }

    /// Reads consecutive records.
    fn sequence(&mut self, segment: &Segment, records: &[Record], upto: u64) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return self.lose(upto);
        };
        let offset = u64::from(first.offset);
        let bytes = segment.bytes(offset, (last.end() - offset) as usize);
        let bytes = bytes.unwrap_or_default();
        self.read += last.end() - offset;
        for record in records {
            self.lose(record.after.min(upto));
            if self.position >= upto {
                return;
            }
            let at = (u64::from(record.offset) - offset) as usize;
            let own = bytes.slice(at.min(bytes.len())..);
            self.record(record, &own, None, upto);
        }
    }

    /// Reads selected records.
    fn selected(&mut self, segment: &Segment, items: Vec<Item>, upto: u64) {
        for item in items {
            if self.is_enough() {
                return;
            }
            match item {
                Item::Hole(after, to) => {
                    self.position = self.position.max(after);
                    self.lose(to.min(upto));
                }
                Item::Record(record, seqs) => {
                    self.position = self.position.max(record.after.min(upto));
                    let bytes = segment.bytes(record.offset.into(), record.len() as usize);
                    self.read += record.len();
                    let bytes = bytes.unwrap_or_default();
                    self.record(&record, &bytes, Some(&seqs), upto);
                }
            }
        }
        self.position = self.position.max(upto);
    }

    /// Takes the matching events of a record whose bytes begin with `bytes`.
    fn record(&mut self, record: &Record, bytes: &Bytes, seqs: Option<&[u64]>, upto: u64) {
        let end = record.last_seq.min(upto);
        match batch_in(record, bytes, self.shared.files.seal) {
            Some(Some(batch)) => match seqs {
                Some(seqs) => {
                    self.take_some(&batch, |event| seqs.binary_search(&event.seq()).is_ok())
                }
                None => self.take(&batch, upto),
            },
            Some(None) => {}
            None => self.lose(end),
        }
        self.position = self.position.max(end);
    }

    /// Takes the matching events of a batch: without copying if all of them match.
    fn take(&mut self, batch: &Batch, upto: u64) {
        let first = batch.first_seq();
        let within = first > self.position && batch.last_seq() <= upto;
        if within && self.is_wanted(batch) {
            if batch.bytes().len() < WHOLE_BATCH {
                return self.take_some(batch, |_| true);
            }
            self.seal();
            self.found += batch.bytes().len();
            self.out.batches.push(batch.clone());
            return;
        }
        let floors = self.floors_of(batch);
        if floors.values().all(Option::is_none) {
            return;
        }
        let position = self.position;
        self.take_some(batch, |event| {
            let within = event.seq() > position && event.seq() <= upto;
            let floor = floors.get(event.topic()).copied().flatten();
            within && floor.is_some_and(|floor| event.seq() > floor)
        });
    }

    /// Returns whether every event of a batch matches and is retained.
    fn is_wanted(&self, batch: &Batch) -> bool {
        let state = self.shared.state.read();
        if batch.first_seq() > state.topics.max_floor() && self.takes_all {
            // A leading wildcard matches all names but these.
            return batch.topics().all(|name| !name.starts_with('$'));
        }
        batch.topics().all(|name| {
            TopicRef::new(name).is_ok_and(|topic| {
                self.filter.matches(topic) && state.topics.floor(topic) < batch.first_seq()
            })
        })
    }

    /// Returns the floor of each topic of a batch, or `None` for one that does not match.
    fn floors_of<'b>(&self, batch: &'b Batch) -> HashMap<&'b str, Option<u64>> {
        let state = self.shared.state.read();
        let floor = |name| {
            let topic = TopicRef::new(name).ok();
            let topic = topic.filter(|topic| self.filter.matches(*topic));
            topic.map(|topic| state.topics.floor(topic))
        };
        batch.topics().map(|name| (name, floor(name))).collect()
    }

    fn take_some(&mut self, batch: &Batch, mut wanted: impl FnMut(&EventRef<'_>) -> bool) {
        for event in batch.iter().filter(|event| wanted(event)) {
            let (topic, kind, data) = (event.topic(), event.kind(), event.data());
            let fits = self.open.would_fit(topic, kind, data.len());
            if !fits || !self.open.keeps_time(event.time()) {
                self.seal();
            }
            self.open.push(event.seq(), event.time(), topic, kind, data);
        }
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            let batch = self.open.finish();
            self.found += batch.bytes().len();
            self.out.batches.push(batch);
        }
    }

    /// Reports everything after the position through `to` as lost, if that is anything.
    fn lose(&mut self, to: u64) {
        if to > self.position {
            self.seal();
            add_lost(&mut self.out.lost, self.position, to);
            self.position = to;
        }
    }
}
