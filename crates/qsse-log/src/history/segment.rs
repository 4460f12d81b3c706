//! [`Segment`]: a run of events with their bytes in one allocation.

use std::time::Duration;

use qsse_proto::batch::{Batch, Builder};
use qsse_proto::{Since, Timestamp};

use crate::batches::LargeBatch;
use crate::event::Incoming;
use crate::topics::{TopicId, Topics};

/// One event to append.
pub(crate) struct Record<'a> {
    pub(crate) seq: u64,
    pub(crate) time: Timestamp,
    pub(crate) age: Duration,
    pub(crate) topic: TopicId,
    pub(crate) kind: &'a str,
    pub(crate) data: &'a [u8],
    /// The batch of its own, if the event is large.
    pub(crate) large: Option<&'a LargeBatch>,
}

impl<'a> Record<'a> {
    pub(crate) fn of(
        event: Incoming<'a>,
        large: Option<&'a LargeBatch>,
        topic: TopicId,
        age: Duration,
    ) -> Self {
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
            large,
        }
    }

    /// Returns the bytes of kind and data.
    pub(super) fn len(&self) -> usize {
        self.kind.len() + self.data.len()
    }
}

/// A run of events without a hole in their seqs.
///
/// Its bytes are read late or never, so each one costs a trip to memory and back. What events have
/// in common is therefore stored once.
pub(super) struct Segment {
    pub(super) first_seq: u64,
    bytes: Vec<u8>,
    locations: Vec<Location>,
    /// The large events, in order.
    large: Vec<LargeEvent>,
    /// The bytes of kinds and data of large events, and those allocated for their batches.
    large_bytes: usize,
    large_allocated: usize,
    /// In order. The first one is that of the first event.
    moments: Vec<Moment>,
    /// The earliest and the latest time.
    times: Option<(Timestamp, Timestamp)>,
}

/// A large event. Its batch is shared with feeds and readers, so that it is in memory once.
struct LargeEvent {
    /// The number of the event in the segment.
    number: u32,
    /// The bytes of kind and data.
    len: usize,
    shared: LargeBatch,
}

/// Where an event begins in its segment. It has the length of its kind in one byte, the kind and
/// the data, and ends where the next one begins. A large event has nothing there.
struct Location {
    topic: TopicId,
    at: u32,
}

/// The bytes of the length of a kind.
const KIND_LENGTH: usize = 1;

/// The most events of a segment, however short. A segment is removed in one step, which visits the
/// topic of each event.
const MOST_EVENTS: usize = 16_384;

/// When an event and the following ones, up to the next moment, were appended.
pub(super) struct Moment {
    /// The number of the first event in the segment.
    first: u32,
    pub(super) time: Timestamp,
    pub(super) age: Duration,
}

/// An event in its segment.
pub(super) struct SegmentEvent<'a> {
    pub(super) seq: u64,
    pub(super) topic: TopicId,
    pub(super) moment: &'a Moment,
    kind: &'a str,
    data: &'a [u8],
    large: Option<&'a Batch>,
}

/// What became of an event that was to be added to a batch.
pub(super) enum Added {
    /// It is in the batch.
    Yes,
    /// It does not fit.
    Full,
    /// It has this batch of its own.
    Alone(Batch),
}

impl Segment {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            first_seq: 0,
            bytes: Vec::with_capacity(bytes),
            locations: Vec::new(),
            large: Vec::new(),
            large_bytes: 0,
            large_allocated: 0,
            moments: Vec::new(),
            times: None,
        }
    }

    /// Returns the segment without events, with the same memory.
    pub(super) fn cleared(mut self) -> Self {
        self.bytes.clear();
        self.locations.clear();
        self.large = Vec::new();
        (self.large_bytes, self.large_allocated) = (0, 0);
        self.moments.clear();
        self.times = None;
        self
    }

    /// Returns whether an event of this length fits.
    pub(super) fn has_room(&self, need: usize, limit: usize) -> bool {
        let used = self.bytes.len() + self.large_bytes;
        let fits = used + KIND_LENGTH + need <= limit;
        self.locations.is_empty() || (fits && self.locations.len() < MOST_EVENTS)
    }

    pub(super) fn push(&mut self, record: &Record<'_>) {
        let at = self.bytes.len() as u32;
        if let Some(large) = record.large {
            self.push_large(record, large);
        } else {
            self.bytes.push(record.kind.len() as u8);
            self.bytes.extend_from_slice(record.kind.as_bytes());
            self.bytes.extend_from_slice(record.data);
        }
        let (time, age) = (record.time, record.age);
        let last = self.moments.last();
        if last.is_none_or(|last| (last.time, last.age) != (time, age)) {
            let first = self.locations.len() as u32;
            self.moments.push(Moment { first, time, age });
            let (earliest, latest) = self.times.unwrap_or((time, time));
            self.times = Some((earliest.min(time), latest.max(time)));
        }
        let topic = record.topic;
        self.locations.push(Location { topic, at });
    }

    fn push_large(&mut self, record: &Record<'_>, large: &LargeBatch) {
        let (number, len) = (self.locations.len() as u32, record.len());
        self.large_bytes += len;
        self.large_allocated += large.batch.allocated();
        self.large.push(LargeEvent {
            number,
            len,
            shared: large.clone(),
        });
    }

    /// Returns the event with this number in the segment, if it is large.
    fn large(&self, at: usize) -> Option<&LargeEvent> {
        let number = |large: &LargeEvent| large.number as usize;
        let found = self.large.binary_search_by_key(&at, number).ok()?;
        Some(&self.large[found])
    }

    /// Returns the number of events.
    pub(super) fn len(&self) -> usize {
        self.locations.len()
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.first_seq + self.locations.len() as u64 - 1
    }

    /// Returns where a start at a time begins, if that is in this segment.
    pub(super) fn begin(&self, since: &mut Since) -> Option<u64> {
        let (earliest, latest) = self.times?;
        if since.skip(self.first_seq, earliest, latest) {
            return None;
        }
        let mut moments = self.moments.iter();
        moments.find_map(|moment| {
            let first = self.first_seq + u64::from(moment.first);
            since.event(first, moment.time)
        })
    }

    /// Returns the times of these events, by their numbers in the segment.
    pub(super) fn times(&self, numbers: std::ops::Range<usize>) -> impl Iterator<Item = Timestamp> {
        let first = self.moment_number(numbers.start);
        let within = move |moment: &&Moment| (moment.first as usize) < numbers.end;
        let moments = self.moments[first..].iter().take_while(within);
        moments.map(|moment| moment.time)
    }

    /// Returns how many events come before the first moment for which `holds` is false. It must be
    /// false for all later moments too.
    pub(super) fn count_while(&self, holds: impl Fn(&Moment) -> bool) -> usize {
        let count = self.moments.partition_point(holds);
        let next = self.moments.get(count);
        next.map_or(self.len(), |moment| moment.first as usize)
    }

    /// Returns the moment of the event with this number.
    pub(super) fn moment(&self, at: usize) -> &Moment {
        &self.moments[self.moment_number(at)]
    }

    fn moment_number(&self, at: usize) -> usize {
        let behind = self
            .moments
            .partition_point(|moment| moment.first as usize <= at);
        // The first moment is that of event 0.
        behind - 1
    }

    /// Returns the topics and lengths of these events, by their numbers in the segment.
    pub(super) fn lengths(
        &self,
        numbers: std::ops::Range<usize>,
    ) -> impl Iterator<Item = (TopicId, usize)> {
        numbers.map(|at| {
            let (location, end) = (&self.locations[at], self.end(at));
            let len = match self.large(at) {
                Some(large) => large.len,
                None => end - location.at as usize - KIND_LENGTH,
            };
            (location.topic, len)
        })
    }

    /// Returns where the event with this number ends.
    fn end(&self, at: usize) -> usize {
        let next = self.locations.get(at + 1);
        next.map_or(self.bytes.len(), |next| next.at as usize)
    }

    pub(super) fn allocated(&self) -> usize {
        self.bytes.capacity()
            + self.large.capacity() * size_of::<LargeEvent>()
            + self.large_allocated
            + self.locations.capacity() * size_of::<Location>()
            + self.moments.capacity() * size_of::<Moment>()
    }

    /// Returns the bytes allocated for the batches of large events.
    pub(super) fn large_allocated(&self) -> usize {
        self.large_allocated
    }

    /// Returns the events after `after`, in order.
    pub(super) fn events(&self, after: u64) -> impl Iterator<Item = SegmentEvent<'_>> {
        let first = (after + 1).saturating_sub(self.first_seq) as usize;
        let mut number = self.moment_number(first);
        (first..self.len()).map(move |at| {
            let next = self.moments.get(number + 1);
            number += usize::from(next.is_some_and(|next| next.first as usize <= at));
            self.event(at, &self.moments[number])
        })
    }

    pub(super) fn get(&self, seq: u64) -> Option<SegmentEvent<'_>> {
        let at = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        (at < self.len()).then(|| self.event(at, self.moment(at)))
    }

    fn event<'a>(&'a self, at: usize, moment: &'a Moment) -> SegmentEvent<'a> {
        let location = &self.locations[at];
        let seq = self.first_seq + at as u64;
        if let Some(large) = self.large(at) {
            let batch = &large.shared.batch;
            let event = batch.iter().next().expect("a batch has an event");
            return SegmentEvent {
                seq,
                topic: location.topic,
                moment,
                kind: event.kind(),
                data: event.data(),
                large: Some(batch),
            };
        }
        let bytes = &self.bytes[location.at as usize..self.end(at)];
        let (kind_len, rest) = bytes.split_at(KIND_LENGTH);
        let (kind, data) = rest.split_at(usize::from(kind_len[0]));
        SegmentEvent {
            seq,
            topic: location.topic,
            moment,
            kind: std::str::from_utf8(kind).expect("a kind was text when it was appended"),
            data,
            large: None,
        }
    }
}

impl SegmentEvent<'_> {
    /// Returns the length that counts for the limits of the topic.
    pub(super) fn len(&self) -> usize {
        self.kind.len() + self.data.len()
    }

    /// Adds the event to a batch.
    pub(super) fn add(&self, builder: &mut Builder, topics: &Topics) -> Added {
        if let Some(batch) = self.large {
            return match builder.is_empty() {
                true => Added::Alone(batch.clone()),
                false => Added::Full,
            };
        }
        let event = Incoming {
            seq: self.seq,
            time: self.moment.time,
            topic: topics.name(self.topic).as_str(),
            kind: self.kind,
            data: self.data,
        };
        if !event.fits(builder) {
            return Added::Full;
        }
        event.push_to(builder);
        Added::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_never_outgrows_its_limit() {
        const LIMIT: usize = 4096;
        for bytes in [1, 31, 32, 120, 121] {
            let mut segment = Segment::with_capacity(LIMIT);
            let record = Record {
                seq: 1,
                time: Timestamp::default(),
                age: Duration::ZERO,
                topic: TopicId::default(),
                kind: "message",
                data: &vec![0; bytes],
                large: None,
            };
            while segment.has_room("message".len() + bytes, LIMIT) {
                segment.push(&record);
            }
            assert_eq!(segment.bytes.capacity(), LIMIT, "with {bytes} bytes each");
        }
    }

    #[test]
    fn a_segment_tells_of_each_event_what_it_was() {
        let mut segment = Segment::with_capacity(100);
        segment.first_seq = 5;
        assert_eq!((segment.len(), segment.times), (0, None));
        let seconds = Duration::from_secs;
        // Two events share a moment. The next one has the same time and another age.
        for (seq, age, data) in [(5, 1, "x"), (6, 1, "yy"), (7, 2, ""), (8, 2, "zzz")] {
            segment.push(&Record {
                seq,
                time: Timestamp::from_micros(seq / 7),
                age: seconds(age),
                topic: TopicId::default(),
                kind: if seq == 8 { "k" } else { "message" },
                data: data.as_bytes(),
                large: None,
            });
        }
        assert_eq!((segment.last_seq(), segment.len()), (8, 4));
        assert_eq!(segment.moments.len(), 2);
        let lengths = |places| segment.lengths(places).map(|(_, len)| len).collect();
        let (all, some): (Vec<_>, Vec<_>) = (lengths(0..4), lengths(1..3));
        assert_eq!((all, some), (vec![8, 9, 7, 4], vec![9, 7]));
        let all: Vec<_> = segment.events(0).map(|kept| kept.seq).collect();
        assert_eq!(all, [5, 6, 7, 8]);
        let times = [0..2, 1..3, 2..4].map(|places| segment.times(places).count());
        assert_eq!(times, [1, 2, 1]);
        let ages: Vec<_> = segment.events(5).map(|kept| kept.moment.age).collect();
        assert_eq!(ages, [1, 2, 2].map(seconds));
        let told = |seq| {
            let kept = segment.get(seq)?;
            Some((kept.kind, kept.data, kept.len(), kept.moment.age))
        };
        assert_eq!(told(6), Some(("message", &b"yy"[..], 9, seconds(1))));
        assert_eq!(told(8), Some(("k", &b"zzz"[..], 4, seconds(2))));
        assert_eq!((told(4), told(9)), (None, None));
        let count = |age| segment.count_while(|moment| moment.age < seconds(age));
        assert_eq!((count(1), count(2), count(3)), (0, 2, 4));
    }

    #[test]
    fn memory_is_that_of_bytes_places_and_moments() {
        let mut segment = Segment::with_capacity(0);
        for seq in 0..1_000 {
            segment.push(&Record {
                seq,
                time: Timestamp::from_micros(seq),
                age: Duration::ZERO,
                topic: TopicId::default(),
                kind: "k",
                data: b"x",
                large: None,
            });
        }
        let least = 1_000 * (3 + size_of::<Location>() + size_of::<Moment>());
        let allocated = segment.allocated();
        assert!((least..2 * least).contains(&allocated), "{allocated}");
    }
}
