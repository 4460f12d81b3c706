//! The history: a ring of segments, each a run of events with their bytes in one allocation.

use std::collections::VecDeque;
use std::time::Duration;

use qsse_proto::Timestamp;
use qsse_proto::batch::{Batch, Builder};
use qsse_topic::Filter;

use crate::config::Config;
use crate::topics::{TopicId, Topics};

/// Events looked at by one read: what holds the log's lock, so kept short.
const SCAN: usize = 4_096;

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

/// The kept events `floor + 1 ..= head`.
pub(crate) struct History {
    segments: VecDeque<Segment>,
    /// Events up to here are gone.
    floor: u64,
    /// The newest event.
    head: u64,
    /// Allocated bytes of all segments.
    bytes: usize,
    segment_bytes: usize,
}

/// What a read found.
pub(crate) struct Read {
    /// The matching events, if any.
    pub(crate) batch: Option<Batch>,
    /// Everything up to here has been looked at.
    pub(crate) through: u64,
}

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

impl History {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            segments: VecDeque::new(),
            floor: 0,
            head: 0,
            bytes: 0,
            segment_bytes: (config.history_bytes / 16).clamp(4 << 10, 1 << 20),
        }
    }

    /// Events up to here are gone.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// Allocated bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Events kept.
    pub(crate) fn events(&self) -> u64 {
        self.head - self.floor
    }

    /// Appends the event after the newest one; [`trim`](Self::trim) then makes room.
    pub(crate) fn append(&mut self, record: Record<'_>, topics: &mut Topics) {
        debug_assert_eq!(record.seq, self.head + 1);
        let need = record.kind.len() + record.data.len();
        let room = self.segments.back().is_some_and(|last| {
            last.places.is_empty() || last.bytes.len() + need <= self.segment_bytes
        });
        if !room {
            let capacity = need.max(FIRST_CAPACITY.min(self.segment_bytes));
            self.segments.push_back(Segment {
                first_seq: record.seq,
                bytes: Vec::with_capacity(capacity),
                places: Vec::new(),
            });
            self.bytes += self.segments.back().map_or(0, Segment::allocated);
        }
        let last = self
            .segments
            .back_mut()
            .expect("a segment was just made sure of");
        let before = last.allocated();
        last.push(&record);
        self.bytes = self.bytes + last.allocated() - before;
        self.head = record.seq;
        topics.keep(record.topic);
    }

    /// Drops the oldest events until the bounds hold.
    pub(crate) fn trim(&mut self, config: &Config, now: Duration, topics: &mut Topics) {
        while self.bytes > config.history_bytes
            && let Some(oldest) = self.segments.front()
        {
            self.drop_through(oldest.last_seq(), topics);
        }
        if self.events() > config.history_events {
            self.drop_through(self.head - config.history_events, topics);
        }
        if let Some(oldest) = config.history_age.and_then(|age| now.checked_sub(age)) {
            while let Some(segment) = self.segments.front() {
                let expired = segment.places.partition_point(|place| place.age < oldest);
                let all = expired == segment.places.len();
                self.drop_through(segment.first_seq + expired as u64 - 1, topics);
                if !all {
                    break;
                }
            }
        }
    }

    /// The events in (after, upto] that `filter` matches, as many as one look and one batch allow.
    pub(crate) fn read(&self, filter: &Filter, topics: &Topics, after: u64, upto: u64) -> Read {
        debug_assert!(after >= self.floor);
        let upto = upto.min(self.head);
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
        let within = events.take(SCAN).take_while(|(seq, ..)| *seq <= upto);
        for (seq, place, kind, data) in within {
            let matches = match known {
                Some((topic, matches)) if topic == place.topic => matches,
                _ => filter.matches(topics.name(place.topic)),
            };
            known = Some((place.topic, matches));
            if matches {
                let topic = topics.name(place.topic).as_str();
                if !builder.is_empty() && !builder.would_fit(topic, kind, data.len()) {
                    break;
                }
                builder.push(seq, place.time, topic, kind, data);
            }
            through = seq;
        }
        Read {
            batch: (!builder.is_empty()).then(|| builder.finish()),
            through,
        }
    }

    fn drop_through(&mut self, seq: u64, topics: &mut Topics) {
        while self.floor < seq {
            let Some(oldest) = self.segments.front() else {
                break;
            };
            let upto = oldest.last_seq().min(seq);
            let from = (self.floor + 1 - oldest.first_seq) as usize;
            let to = (upto + 1 - oldest.first_seq) as usize;
            for place in &oldest.places[from..to] {
                topics.release(place.topic);
            }
            self.floor = upto;
            if upto == oldest.last_seq() {
                self.bytes -= oldest.allocated();
                self.segments.pop_front();
            }
        }
    }
}

impl Segment {
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

    fn events(&self, after: u64) -> impl Iterator<Item = (u64, &Place, &str, &[u8])> {
        let skip = (after + 1).saturating_sub(self.first_seq) as usize;
        let first_seq = self.first_seq + skip as u64;
        self.places[skip..]
            .iter()
            .enumerate()
            .map(move |(n, place)| {
                let bytes = &self.bytes[place.at as usize..];
                let (kind, rest) = bytes.split_at(usize::from(place.kind_len));
                let kind = std::str::from_utf8(kind).expect("a kind was text when it was kept");
                (
                    first_seq + n as u64,
                    place,
                    kind,
                    &rest[..place.data_len as usize],
                )
            })
    }
}
