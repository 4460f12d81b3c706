//! [`Builder`]: appends events to an open batch.

use super::name_table::{KindNames, TopicNames};
use super::{Batch, clamped};
use crate::frame::{HEADER_BYTES, kind, length_field};
use crate::limits::{BATCH_BYTES, KIND_BYTES, TOPIC_BYTES};
use crate::timestamp::Timestamp;
use crate::varint;
use bytes::Bytes;

/// The open batch at the end of a log or a feed. It takes events until it is sealed.
///
/// Its buffer starts at about the size of the previous batch. It never seals itself: the caller
/// asks [`would_fit`](Builder::would_fit) and [`keeps_time`](Builder::keeps_time), and seals with
/// [`finish`](Builder::finish).
///
/// Names are not in a hash map. The builder compares the last topic, then one slot of a small
/// table. A name that both miss is written again, which the format permits.
#[derive(Debug, Default)]
pub struct Builder {
    /// The frame so far; empty while there are no events.
    buf: Vec<u8>,
    first_seq: u64,
    last_seq: u64,
    first_time: u64,
    last_time: u64,
    count: u32,
    topics: TopicNames,
    kinds: KindNames,
    /// The length of the last batch, a good estimate for the next one.
    last_len: usize,
}

/// The first allocation if there was no batch before.
const FIRST_CAPACITY: usize = 256;
/// A larger buffer is not reused for the next batch, because many feeds are quiet.
const KEPT_CAPACITY: usize = 4096;

impl Builder {
    /// Creates an empty builder. It allocates nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty builder for a batch of about this many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            buf: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Appends an event.
    ///
    /// `topic` and `kind` are not checked here; their source has checked them. A time before that
    /// of the previous event counts as the same time; [`keeps_time`](Builder::keeps_time) tells in
    /// advance.
    ///
    /// # Panics
    /// `seq` is not above that of the previous event, or a name is empty or over its limit.
    #[inline]
    pub fn push(&mut self, seq: u64, time: Timestamp, topic: &str, kind: &str, data: &[u8]) {
        assert!(
            (1..=TOPIC_BYTES).contains(&topic.len()) && (1..=KIND_BYTES).contains(&kind.len()),
            "names are within their limits"
        );
        let need = self.need(topic.len() + kind.len() + data.len());
        if self.buf.capacity() - self.buf.len() < need {
            self.grow(need);
        }
        if self.count == 0 {
            self.begin(seq, time);
        } else {
            assert!(seq > self.last_seq, "seqs of a batch rise");
        }
        let time = time.as_micros().max(self.last_time);
        let (seq_step, time_step) = (seq - self.last_seq, time - self.last_time);
        let numbers = [
            seq_step,
            time_step,
            self.topics
                .find(&self.buf, topic.as_bytes())
                .map_or(NEW_TOPIC, u64::from),
            self.kinds.find(&self.buf, kind).map_or(NEW_KIND, u64::from),
            data.len() as u64,
        ];
        match varint::packed(numbers) {
            Some((head, len)) if numbers[2] != NEW_TOPIC && numbers[3] != NEW_KIND => {
                let end = self.buf.len() + len;
                self.buf.extend_from_slice(&head);
                self.buf.truncate(end);
            }
            _ => self.push_head(numbers, topic, kind),
        }
        self.buf.extend_from_slice(data);

        self.last_seq = seq;
        self.last_time = time;
        self.count += 1;
    }

    /// Appends what precedes an event's data, if a name or a number needs the long form.
    fn push_head(&mut self, numbers: [u64; 5], topic: &str, kind: &str) {
        let (mut head, mut at) = ([0; HEAD_NUMBERS], 0);
        let [seq_step, time_step, topic_number, kind_number, data_len] = numbers;
        varint::put(&mut head, &mut at, seq_step);
        varint::put(&mut head, &mut at, time_step);
        varint::put(&mut head, &mut at, topic_number);
        if topic_number == NEW_TOPIC {
            self.buf.extend_from_slice(&head[..at]);
            at = 0;
            self.topics.add(&mut self.buf, topic.as_bytes());
        }
        varint::put(&mut head, &mut at, kind_number);
        if kind_number == NEW_KIND {
            self.buf.extend_from_slice(&head[..at]);
            at = 0;
            self.kinds.add(&mut self.buf, kind.as_bytes());
        }
        varint::put(&mut head, &mut at, data_len);
        self.buf.extend_from_slice(&head[..at]);
    }

    /// Returns whether there is no event yet.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the length that the frame would have now, with its header; 0 while it is empty.
    #[inline]
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Returns how many bytes of memory the builder holds. Limits on memory should count these.
    pub fn capacity(&self) -> usize {
        self.buf.capacity() + self.topics.capacity() + self.kinds.capacity()
    }

    /// Returns the number of events.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Returns the seq of the first event; `None` if there is none.
    pub fn first_seq(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.first_seq)
    }

    /// Returns the seq of the last event; `None` if there is none.
    pub fn last_seq(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.last_seq)
    }

    /// Returns whether such an event may be appended. An empty batch takes any event; another one
    /// takes it if the batch is certain to stay within [`BATCH_BYTES`] (`QP-6.6`).
    #[inline]
    pub fn would_fit(&self, topic: &str, kind: &str, data_len: usize) -> bool {
        let need = self.need(topic.len() + kind.len() + data_len);
        self.is_empty() || self.buf.len() + need <= BATCH_BYTES
    }

    /// Returns whether an event could keep this time: times never go back within a batch
    /// (`QP-6.3`).
    #[inline]
    pub const fn keeps_time(&self, time: Timestamp) -> bool {
        self.is_empty() || time.as_micros() >= self.last_time
    }

    /// Seals the batch, and starts a new one.
    ///
    /// A batch that fills most of the buffer takes it over. Otherwise it is copied to its exact
    /// size, so that no batch holds much more memory than it needs.
    ///
    /// # Panics
    /// There is no event.
    pub fn finish(&mut self) -> Batch {
        assert!(!self.is_empty(), "a batch has at least one event");
        let len = self.buf.len();
        let length = length_field(len);
        self.buf[..length.len()].copy_from_slice(&length);

        let topics = self.topics.positions();
        let (bytes, allocated) = self.take();
        let allocated = allocated + topics.allocated();
        let batch = Batch {
            bytes,
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            first_time: Timestamp::from_micros(self.first_time),
            last_time: Timestamp::from_micros(self.last_time),
            count: self.count,
            allocated: clamped(allocated),
            topics,
        };
        self.count = 0;
        self.last_len = len;
        self.topics.reset();
        self.kinds.reset();
        batch
    }

    /// Returns the bytes of the frame, and how much memory they hold.
    fn take(&mut self) -> (Bytes, usize) {
        let (len, capacity) = (self.buf.len(), self.buf.capacity());
        if len >= capacity / 4 * 3 {
            return (Bytes::from(std::mem::take(&mut self.buf)), capacity);
        }
        let bytes = Bytes::copy_from_slice(&self.buf);
        if capacity > KEPT_CAPACITY {
            self.buf = Vec::new();
        } else {
            self.buf.clear();
        }
        (bytes, len)
    }

    fn begin(&mut self, seq: u64, time: Timestamp) {
        let time = time.as_micros();
        let (mut head, mut at) = ([0; PREAMBLE], HEADER_BYTES);
        head[HEADER_BYTES - 1] = kind::BATCH;
        varint::put(&mut head, &mut at, seq);
        varint::put(&mut head, &mut at, time);
        self.buf.extend_from_slice(&head[..at]);
        (self.first_seq, self.last_seq) = (seq, seq);
        (self.first_time, self.last_time) = (time, time);
    }

    /// Returns the most bytes that an event can take, including what precedes the first event.
    #[inline]
    const fn need(&self, payload: usize) -> usize {
        let before = if self.is_empty() { PREAMBLE } else { 0 };
        before + HEAD_NUMBERS + 2 + payload
    }

    /// Makes room for an event. Doubles the buffer, but not beyond the largest batch of several
    /// events.
    #[cold]
    fn grow(&mut self, need: usize) {
        let wish = match self.buf.capacity() {
            0 => self.last_len + self.last_len / 8,
            capacity => 2 * capacity,
        };
        let capacity = wish
            .clamp(FIRST_CAPACITY, BATCH_BYTES)
            .max(self.buf.len() + need);
        self.buf.reserve_exact(capacity - self.buf.len());
    }
}

/// Stands for a name's number if the name follows (`QP-6.4`, `QP-6.5`).
const NEW_TOPIC: u64 = 0;
const NEW_KIND: u64 = 1;

/// The most bytes of the frame header and the numbers before the first event.
const PREAMBLE: usize = HEADER_BYTES + 2 * varint::MAX;
/// The most bytes of the numbers before an event's data.
const HEAD_NUMBERS: usize = 5 * varint::MAX;
