//! Reading events again, while others are appended.

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
use std::sync::Arc;

/// A handle for reading. A clone is cheap, and each thread may have its own; none waits for an append.
#[derive(Clone)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

/// What a read found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StoredEvents {
    /// The matching events, in order.
    pub batches: Vec<Batch>,
    /// Seqs of which matching events may be lost, by damage or an unclean end, each as (after, to],
    /// in order. None of them lies within a batch.
    pub lost: Vec<(u64, u64)>,
    /// Everything up to here has been looked at: the `after` of the next read.
    pub through: u64,
    /// If this is above the `after` that was asked for, matching events up to here may have been
    /// removed; those that were kept are among the batches. Otherwise it may be anything below.
    pub floor: u64,
}

/// The most bytes of a file that are read in one piece, if no single record is longer.
const CHUNK: u64 = 256 << 10;
/// The most bytes that one call reads, about.
const READ_BYTES: u64 = 4 << 20;
/// The most segments that one call looks at.
const SEGMENTS: usize = 16;
/// Batches of this size are given out as they were stored; smaller ones are put together.
const WHOLE_BATCH: usize = 1 << 10;

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Whether the store can take events.
    pub fn health(&self) -> Health {
        self.shared.health.lock().clone()
    }

    /// The events in (after, upto] that `filter` matches, until about `budget` bytes of them are found.
    ///
    /// It does a bounded amount of work, so it may find nothing and still have moved: call it again
    /// with `after` as its [`through`](StoredEvents::through) until that is `upto`, or no longer moves because
    /// nothing was appended beyond. Damage ends nothing: it is told, and the rest is read. So are
    /// files that the system cannot read now; another call may find them well.
    ///
    /// Stored batches of 1 KiB and more that match as a whole are given out byte for byte, as slices
    /// of what was read from the file.
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

/// A read under way.
struct Reading<'a> {
    shared: &'a Shared,
    filter: &'a Filter,
    /// The filter is `*`, or has it.
    takes_all: bool,
    upto: u64,
    budget: usize,
    /// Everything up to here has been dealt with.
    position: u64,
    /// Events that were not stored as a batch of their own.
    open: Builder,
    /// Bytes of batches sealed so far.
    found: usize,
    /// Bytes of files read so far.
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
            // The events of segments that were removed have floors.
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
            Some(Plan::Places(items)) => self.places(segment, items, upto),
            // Not even what is in it is known.
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

    /// The floors of matching topics that are above the position. To be asked before an index is.
    fn floors(&self) -> HashMap<Topic, u64> {
        let state = self.shared.state.read();
        if state.topics.max_floor() <= self.position {
            return HashMap::new();
        }
        let matching = state.topics.matching(self.filter);
        matching
            .filter(|(_, state)| state.floor > self.position)
            .map(|(topic, state)| (topic.clone(), state.floor))
            .collect()
    }

    /// Reads records that follow one another.
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

    /// Reads the events at some places.
    fn places(&mut self, segment: &Segment, items: Vec<Item>, upto: u64) {
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

    /// Takes what matches of a batch: as it is, if that is all of it.
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

    /// Whether every event of a batch matches and is kept.
    fn is_wanted(&self, batch: &Batch) -> bool {
        let state = self.shared.state.read();
        if batch.first_seq() > state.topics.max_floor() && self.takes_all {
            // All but the names that a wildcard in front never matches.
            return batch.topics().all(|name| !name.starts_with('$'));
        }
        batch.topics().all(|name| {
            TopicRef::new(name).is_ok_and(|topic| {
                self.filter.matches(topic) && state.topics.floor(topic) < batch.first_seq()
            })
        })
    }

    /// For each topic of a batch up to where its events are removed, or `None` if it does not match.
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

    /// Everything from the position through `to` is lost, if that is anything.
    fn lose(&mut self, to: u64) {
        if to > self.position {
            self.seal();
            add_lost(&mut self.out.lost, self.position, to);
            self.position = to;
        }
    }
}
