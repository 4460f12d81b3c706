//! The history: a ring of segments, each a run of events with their bytes in one allocation.

use std::collections::VecDeque;
use std::time::Duration;

use qsse_proto::Timestamp;
use qsse_proto::batch::{Batch, Builder};
use qsse_topic::Filter;

use crate::config::Config;
use crate::feed::Incoming;
use crate::recent::{self, STRIDE};
use crate::topics::{TopicId, Topics};

mod retain;
mod select;

pub(crate) use select::Selected;

/// Events looked at by one read: what holds the log's lock, so kept short.
const SCAN: usize = 4_096;

/// A filter that admits at most this many known topics is read by their lists of seqs, others by looking at every event.
const FEW_TOPICS: usize = 256;

/// A segment begins with room for this much and grows.
const FIRST_CAPACITY: usize = 4 << 10;

/// One event to keep.
pub(crate) struct Record<'a> {
    pub(crate) seq: u64,
    pub(crate) time: Timestamp,
    pub(crate) age: Duration,
    pub(crate) topic: TopicId,
    pub(crate) kind: &'a str,
    pub(crate) data: &'a [u8],
}

impl<'a> Record<'a> {
    pub(crate) fn of(event: Incoming<'a>, topic: TopicId, age: Duration) -> Self {
        let Incoming {
            seq,
            time,
            kind,
            data,
            ..
        } = event;
        Self {
            seq,
            time,
            age,
            topic,
            kind,
            data,
        }
    }
}

/// The kept events after `floor`, up to `head`.
pub(crate) struct History {
    segments: VecDeque<Segment>,
    /// The last one dropped, empty: its memory is the next one's, which saves the system to find and clear pages.
    spare: Option<Segment>,
    /// Events up to here are gone.
    floor: u64,
    /// The time of the newest event that is gone.
    floor_time: Timestamp,
    /// The newest event.
    head: u64,
    events: u64,
    /// Allocated bytes of all segments.
    bytes: usize,
    segment_bytes: usize,
    /// Most bytes of all segments.
    max_bytes: usize,
}

/// What a read found.
#[derive(Clone)]
pub(crate) struct Read {
    /// The matching events, if any.
    pub(crate) batch: Option<Batch>,
    /// Everything up to here has been looked at.
    pub(crate) through: u64,
}

/// A run of events without a hole in their seqs.
struct Segment {
    first_seq: u64,
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// Where an event's kind and data stand in its segment.
struct Place {
    time: Timestamp,
    age: Duration,
    topic: TopicId,
    at: u32,
    data_len: u32,
    kind_len: u8,
}

/// An event in its segment.
struct Kept<'a> {
    seq: u64,
    place: &'a Place,
    kind: &'a str,
    data: &'a [u8],
}

impl History {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            segments: VecDeque::new(),
            spare: None,
            floor: 0,
            floor_time: Timestamp::default(),
            head: 0,
            events: 0,
            bytes: 0,
            max_bytes: config.history_bytes,
            segment_bytes: (config.history_bytes / 16).clamp(4 << 10, 1 << 20),
        }
    }

    /// Begins after these, which are elsewhere.
    pub(crate) fn begin_after(&mut self, head: u64, time: Timestamp) {
        (self.floor, self.head, self.floor_time) = (head, head, time);
    }

    /// Events up to here are gone.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// Allocated bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Events held, also those that a rule has let go of.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The position before the first event of `time` or later; `None` if some of those are gone.
    pub(crate) fn before(&self, time: Timestamp) -> Option<u64> {
        if self.floor > 0 && time <= self.floor_time {
            return None;
        }
        let earlier = self
            .segments
            .partition_point(|segment| segment.places.last().is_some_and(|last| last.time < time));
        let Some(segment) = self.segments.get(earlier) else {
            return Some(self.head);
        };
        let within = segment.places.partition_point(|place| place.time < time);
        Some((segment.first_seq + within as u64).saturating_sub(1))
    }

    /// Appends an event newer than all others; [`trim`](Self::trim) then makes room.
    pub(crate) fn append(&mut self, record: Record<'_>, topics: &mut Topics) {
        debug_assert!(record.seq > self.head);
        let need = record.kind.len() + record.data.len();
        let room = self.segments.back().is_some_and(|last| {
            let fits = last.places.is_empty() || last.bytes.len() + need <= self.segment_bytes;
            fits && last.last_seq() + 1 == record.seq
        });
        if !room {
            let full = self.bytes + self.segment_bytes + topics.index_bytes() > self.max_bytes;
            if full
                && self.spare.is_none()
                && let Some(oldest) = self.segments.front()
            {
                self.drop_through(oldest.last_seq(), topics);
            }
            let next = self.spare.take().unwrap_or_else(|| {
                let segment = Segment::with_capacity(FIRST_CAPACITY.min(self.segment_bytes));
                self.bytes += segment.allocated();
                segment
            });
            let first_seq = record.seq;
            self.segments.push_back(Segment { first_seq, ..next });
        }
        let last = self
            .segments
            .back_mut()
            .expect("a segment was just made sure of");
        let before = last.allocated();
        last.push(&record);
        self.bytes = self.bytes + last.allocated() - before;
        self.head = record.seq;
        self.events += 1;
        topics.keep(record.topic, record.seq, need);
    }

    /// The events in (after, upto] that `filter` admits, as many as one look and one batch allow.
    pub(crate) fn read(&self, filter: &Filter, topics: &Topics, after: u64, upto: u64) -> Read {
        let upto = upto.min(self.head).max(after);
        match topics.admitted(filter, FEW_TOPICS) {
            Some(few) if self.is_sparse(topics, &few, after, upto) => {
                self.read_topics(topics, &few, after, upto)
            }
            _ => self.scan(filter, topics, after, recent::end(after, upto, STRIDE)),
        }
    }

    /// Whether so few of the events in (after, upto] are of these topics that looking at all of them is a waste.
    fn is_sparse(&self, topics: &Topics, ids: &[TopicId], after: u64, upto: u64) -> bool {
        let within = ids.iter().map(|id| topics.kept_within(*id, after, upto));
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
        let mut within = events.take_while(|kept| kept.seq <= upto);
        for kept in within.by_ref().take(SCAN) {
            let topic = kept.place.topic;
            let admitted = match known {
                Some((same, admitted)) if same == topic => admitted,
                _ => filter.matches(topics.name(topic)),
            };
            known = Some((topic, admitted));
            if admitted && topics.is_kept(topic, kept.seq) && !kept.add(&mut builder, topics) {
                return Read {
                    batch: Some(builder.finish()),
                    through,
                };
            }
            through = kept.seq;
        }
        // All was looked at, if there is no more: also where seqs are missing behind the last one.
        if within.next().is_none() {
            through = upto;
        }
        Read {
            batch: (!builder.is_empty()).then(|| builder.finish()),
            through,
        }
    }

    fn get(&self, seq: u64) -> Option<Kept<'_>> {
        if seq <= self.floor {
            return None;
        }
        let at = self
            .segments
            .partition_point(|segment| segment.last_seq() < seq);
        self.segments.get(at)?.get(seq)
    }
}

impl Segment {
    fn with_capacity(bytes: usize) -> Self {
        Self {
            first_seq: 0,
            bytes: Vec::with_capacity(bytes),
            places: Vec::new(),
        }
    }

    fn push(&mut self, record: &Record<'_>) {
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(record.kind.as_bytes());
        self.bytes.extend_from_slice(record.data);
        self.places.push(Place {
            time: record.time,
            age: record.age,
            topic: record.topic,
            at,
            data_len: record.data.len() as u32,
            kind_len: record.kind.len() as u8,
        });
    }

    fn last_seq(&self) -> u64 {
        self.first_seq + self.places.len() as u64 - 1
    }

    fn allocated(&self) -> usize {
        self.bytes.capacity() + self.places.capacity() * size_of::<Place>()
    }

    /// The events after `after`, in order.
    fn events(&self, after: u64) -> impl Iterator<Item = Kept<'_>> {
        let first = self.first_seq.max(after + 1);
        (first..=self.last_seq()).filter_map(|seq| self.get(seq))
    }

    fn get(&self, seq: u64) -> Option<Kept<'_>> {
        let at = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        let place = self.places.get(at)?;
        let bytes = &self.bytes[place.at as usize..];
        let (kind, rest) = bytes.split_at(usize::from(place.kind_len));
        Some(Kept {
            seq,
            place,
            kind: std::str::from_utf8(kind).expect("a kind was text when it was kept"),
            data: &rest[..place.data_len as usize],
        })
    }
}

impl Place {
    fn len(&self) -> usize {
        self.data_len as usize + usize::from(self.kind_len)
    }
}

impl Kept<'_> {
    /// Adds the event to a batch; false if it does not fit into it any more.
    fn add(&self, builder: &mut Builder, topics: &Topics) -> bool {
        let event = Incoming {
            seq: self.seq,
            time: self.place.time,
            topic: topics.name(self.place.topic).as_str(),
            kind: self.kind,
            data: self.data,
        };
        let fits = event.fits(builder);
        if fits {
            event.push_to(builder);
        }
        fits
    }
}
