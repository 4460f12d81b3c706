//! [`History`]: a ring of segments, each a run of events with their bytes in one allocation.

use std::collections::VecDeque;

use qsse_proto::batch::{Batch, Builder};
use qsse_proto::{Since, Timestamp};
use qsse_topic::Filter;

use crate::batches::Batches;
use crate::budget::Charge;
use crate::config::Config;
use crate::read_cache::{self, CachedRead, STRIDE};
use crate::topics::{TopicId, Topics};

mod removed_times;
mod retain;
mod segment;
mod select;

use removed_times::RemovedTimes;
pub(crate) use segment::Record;
use segment::{Added, Segment, SegmentEvent};
pub(crate) use select::Selected;

/// The most events that one read looks at. A read holds the log's lock, so it must be short.
const SCAN: usize = 4_096;

/// A read looks at fewer events if the filter has more patterns with wildcards than this, because
/// each event is compared with all of them.
const FEW_WILDCARDS: usize = 8;

/// A filter that matches at most this many known topics is read by the topics' lists of seqs.
/// Others look at every event.
const FEW_TOPICS: usize = 256;

/// The first capacity of a segment, which then grows.
const FIRST_CAPACITY: usize = 4 << 10;

/// The events after `floor`, up to `head`.
pub(crate) struct History {
    segments: VecDeque<Segment>,
    /// The last dropped segment, empty. The next segment uses its memory, which is cheaper than new
    /// pages from the system.
    spare: Option<Segment>,
    /// Events up to here have been removed.
    floor: u64,
    /// The times of removed events.
    removed: RemovedTimes,
    /// Later times are ahead of the clock.
    until: Timestamp,
    /// The newest event.
    head: u64,
    events: u64,
    /// Allocated bytes of all segments.
    bytes: usize,
    /// The part of the batches of large events.
    large: Charge,
    /// Counts the batches that are read.
    batches: Batches,
    segment_bytes: usize,
    /// Most bytes of all segments.
    max_bytes: usize,
}

/// The result of a read.
#[derive(Clone)]
pub(crate) struct Read {
    /// The matching events, if any.
    pub(crate) batch: Option<Batch>,
    /// The read is complete up to here.
    pub(crate) through: u64,
}

impl Read {
    fn of(batch: Option<Batch>, through: u64) -> Self {
        Self { batch, through }
    }
}

impl CachedRead for Read {
    fn allocated(&self) -> usize {
        self.batch.as_ref().map_or(0, Batch::allocated)
    }
}

impl History {
    pub(crate) fn new(config: &Config, batches: Batches) -> Self {
        Self {
            segments: VecDeque::new(),
            spare: None,
            floor: 0,
            removed: RemovedTimes::default(),
            until: Timestamp::default(),
            head: 0,
            events: 0,
            bytes: 0,
            large: batches.in_history(),
            batches,
            max_bytes: config.history_bytes,
            segment_bytes: (config.history_bytes / 16).clamp(4 << 10, 1 << 20),
        }
    }

    /// Begins after events that are elsewhere. `latest` is the latest of their times.
    pub(crate) fn begin_after(&mut self, head: u64, latest: Timestamp) {
        (self.floor, self.head) = (head, head);
        if head > 0 {
            self.removed = RemovedTimes::through(latest);
        }
    }

    /// Sets the latest time that is not ahead of the clock.
    pub(crate) fn believe(&mut self, until: Timestamp) {
        self.until = until;
    }

    /// Returns the seq up to which events have been removed.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// Returns the allocated bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the bytes allocated for the batches of large events, a part of
    /// [`bytes`](Self::bytes).
    pub(crate) fn large_bytes(&self) -> usize {
        self.large.bytes()
    }

    /// Returns the number of events, including those that a rule has removed.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// Returns the position before the first event of `time` or later, as [`Since`] defines it;
    /// `None` if some of those events have been removed.
    pub(crate) fn before(&self, time: Timestamp) -> Option<u64> {
        if self.removed.has_since(time, self.until) {
            return None;
        }
        let mut since = Since::new(time, self.until);
        let found = self
            .segments
            .iter()
            .find_map(|segment| segment.begin(&mut since));
        let begin = found.unwrap_or_else(|| since.begin(self.head + 1));
        Some((begin - 1).max(self.floor))
    }

    /// Appends an event that is newer than all others. Returns whether memory has grown: then
    /// [`trim`](Self::trim) makes room.
    pub(crate) fn append(&mut self, record: Record<'_>, topics: &mut Topics) -> bool {
        debug_assert!(record.seq > self.head);
        let need = record.len();
        let room = self.segments.back().is_some_and(|last| {
            last.has_room(need, self.segment_bytes) && last.last_seq() + 1 == record.seq
        });
        if !room && record.large.is_some() {
            // The batch needs none of the bytes of a segment.
            self.begin_segment(record.seq, 0);
        } else if !room {
            let full = self.bytes + self.segment_bytes + topics.index_bytes() > self.max_bytes;
            if full
                && self.spare.is_none()
                && let Some(oldest) = self.segments.front()
            {
                self.drop_through(oldest.last_seq(), topics);
            }
            match self.spare.take() {
                Some(spare) => self.push_segment(record.seq, spare),
                None => self.begin_segment(record.seq, FIRST_CAPACITY.min(self.segment_bytes)),
            }
        }
        let last = self
            .segments
            .back_mut()
            .expect("a segment was just made sure of");
        let before = last.allocated();
        last.push(&record);
        let grown = last.allocated() - before;
        self.bytes += grown;
        let large = record.large.map_or(0, |large| large.batch.allocated());
        self.large.resize(self.large.bytes() + large);
        self.head = record.seq;
        self.events += 1;
        topics.add_event(record.topic, record.seq, need);
        !room || grown > 0
    }

    fn begin_segment(&mut self, first_seq: u64, capacity: usize) {
        let segment = Segment::with_capacity(capacity);
        self.bytes += segment.allocated();
        self.push_segment(first_seq, segment);
    }

    fn push_segment(&mut self, first_seq: u64, mut segment: Segment) {
        segment.first_seq = first_seq;
        self.segments.push_back(segment);
    }

    /// Reads the events in (after, upto] that match `filter`, as many as one read and one batch
    /// allow.
    pub(crate) fn read(&self, filter: &Filter, topics: &Topics, after: u64, upto: u64) -> Read {
        let upto = upto.min(self.head).max(after);
        match topics.admitted(filter, FEW_TOPICS) {
            Some(few) if self.is_sparse(topics, &few, after, upto) => {
                self.read_topics(topics, &few, after, upto)
            }
            _ => self.scan(filter, topics, after, read_cache::end(after, upto, STRIDE)),
        }
    }

    /// Returns whether these topics have so few of the events in (after, upto] that looking at
    /// every event would be wasteful.
    fn is_sparse(&self, topics: &Topics, ids: &[TopicId], after: u64, upto: u64) -> bool {
        let within = ids.iter().map(|id| topics.seqs_within(*id, after, upto));
        let admitted: usize = within.map(|seqs| seqs.len()).sum();
        (admitted as u64).saturating_mul(4) < upto - after
    }

    fn scan(&self, filter: &Filter, topics: &Topics, after: u64, upto: u64) -> Read {
        let mut builder = Builder::new();
        let mut through = after;
        let mut known: Option<(TopicId, bool)> = None;
        let first = self
            .segments
            .partition_point(|segment| segment.last_seq() <= after);
        let events = self
            .segments
            .range(first..)
            .flat_map(|segment| segment.events(after));
        let mut within = events.take_while(|event| event.seq <= upto);
        let wild = filter
            .patterns()
            .partition_point(|pattern| !pattern.is_exact());
        let scan = (SCAN * FEW_WILDCARDS / wild.max(FEW_WILDCARDS)).max(1);
        for event in within.by_ref().take(scan) {
            let topic = event.topic;
            let admitted = match known {
                Some((same, admitted)) if same == topic => admitted,
                _ => filter.matches(topics.name(topic)),
            };
            known = Some((topic, admitted));
            if admitted && topics.is_retained(topic, event.seq) {
                match event.add(&mut builder, topics) {
                    Added::Yes => {}
                    Added::Full => return Read::of(self.finish(&mut builder), through),
                    Added::Alone(batch) => return Read::of(Some(batch), event.seq),
                }
            }
            through = event.seq;
        }
        // If there are no more events, the read is complete, even where seqs are missing after the
        // last one.
        if within.next().is_none() {
            through = upto;
        }
        Read::of(self.finish(&mut builder), through)
    }

    /// Seals what was read, if anything, and counts it.
    fn finish(&self, builder: &mut Builder) -> Option<Batch> {
        (!builder.is_empty()).then(|| self.batches.hold(builder.finish()))
    }

    fn get(&self, seq: u64) -> Option<SegmentEvent<'_>> {
        if seq <= self.floor {
            return None;
        }
        let at = self
            .segments
            .partition_point(|segment| segment.last_seq() < seq);
        self.segments.get(at)?.get(seq)
    }
}

#[cfg(test)]
mod tests;
