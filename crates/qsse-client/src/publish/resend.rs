//! [`ResendQueue`]: what a publishing stream would send again over the next connection, in order;
//! without I/O.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use qsse_proto::publish::{PublisherId, Tried};

use super::first_attempt::FirstAttempt;

/// The numbers of a publisher: its unique id, and the number of the next publish.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub(super) id: PublisherId,
    pub(super) next: u64,
}

/// The unanswered publishes that one stream passes on to the next one.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// `next` is the number of the first of these publishes, if they have numbers.
    numbers: Option<Numbers>,
    sizes: VecDeque<Size>,
    chunks: VecDeque<Chunk>,
    /// How many of the first may have been accepted.
    tried: u64,
}

/// The publishes of a stream without an answer. The front is the oldest.
#[derive(Debug)]
pub(super) struct ResendQueue {
    /// Whole frames, as they were first written, sharing that memory. Frames that are answered are
    /// cut from the first chunk.
    chunks: VecDeque<Chunk>,
    /// The sizes of all unanswered publishes, including those in the stream's buffer.
    sizes: VecDeque<Size>,
    /// The front's number on the stream.
    front: u64,
    /// `next` is the number of the stream's first publish, if it has numbers.
    numbers: Option<Numbers>,
    /// How many chunks at the front are written.
    written: usize,
    /// Publishes before this number on the stream may have been accepted over an earlier
    /// connection.
    tried: u64,
}

/// The size of a publish.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// How much it counts towards the limit of bytes in flight.
    cost: u32,
    /// The length of its frame.
    frame: u32,
}

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    /// How many publishes it contains.
    count: u64,
    /// When it was first sent, if it was.
    first: Option<FirstAttempt>,
}

impl Unanswered {
    /// Returns nothing to resend, for a new publisher.
    pub(super) fn nothing(numbers: Option<Numbers>) -> Self {
        Self {
            numbers,
            sizes: VecDeque::new(),
            chunks: VecDeque::new(),
            tried: 0,
        }
    }

    /// Returns how much each publish counts towards the limit of bytes in flight.
    pub(super) fn costs(&self) -> impl Iterator<Item = u32> {
        self.sizes.iter().map(|size| size.cost)
    }

    pub(super) fn len(&self) -> u64 {
        self.sizes.len() as u64
    }

    pub(super) fn numbers(&self) -> Option<Numbers> {
        self.numbers
    }

    /// Returns when the oldest was first sent, if it may have been accepted then.
    pub(super) fn oldest(&self) -> Option<FirstAttempt> {
        let first = self.chunks.front().and_then(|chunk| chunk.first);
        first.filter(|_| self.tried > 0)
    }

    /// Returns what the server is told about the publishes that were tried before.
    pub(super) fn tried(&self) -> Option<Tried> {
        let (numbers, first) = (self.numbers?, self.oldest()?);
        let retry = first.retry();
        Some(Tried {
            through: numbers.next + self.tried - 1,
            epoch: retry.epoch,
            ago_ms: retry.ago_ms,
        })
    }
}

impl ResendQueue {
    /// Begins with what another stream left unanswered.
    pub(super) fn new(unanswered: Unanswered) -> Self {
        Self {
            chunks: unanswered.chunks,
            sizes: unanswered.sizes,
            front: 0,
            numbers: unanswered.numbers,
            written: 0,
            tried: unanswered.tried,
        }
    }

    /// Adds a publish whose frame of `len` bytes was put into the stream's buffer.
    pub(super) fn push(&mut self, cost: u32, len: usize) {
        let frame = u32::try_from(len).unwrap_or(u32::MAX);
        self.sizes.push_back(Size { cost, frame });
    }

    /// Records that the buffer, with `count` publishes, is being written.
    pub(super) fn add_written(&mut self, bytes: Bytes, count: u64, first: FirstAttempt) {
        self.chunks.push_back(Chunk {
            bytes,
            count,
            first: Some(first),
        });
        self.written = self.chunks.len();
    }

    /// Returns the next bytes to resend, and how many publishes they contain. They are written
    /// before anything new. `now` is asked if they were never sent.
    pub(super) fn next_chunk(
        &mut self,
        now: impl FnOnce() -> FirstAttempt,
    ) -> Option<(Bytes, u64)> {
        let chunk = self.chunks.get_mut(self.written)?;
        chunk.first.get_or_insert_with(now);
        self.written += 1;
        Some((chunk.bytes.clone(), chunk.count))
    }

    /// Drops the publishes before this number on the stream, which are answered.
    pub(super) fn drop_answered(&mut self, answered: u64) {
        while self.front < answered
            && let Some(size) = self.sizes.pop_front()
        {
            self.front += 1;
            let Some(chunk) = self.chunks.front_mut() else {
                continue;
            };
            chunk
                .bytes
                .advance((size.frame as usize).min(chunk.bytes.len()));
            chunk.count -= 1;
            if chunk.count == 0 {
                self.chunks.pop_front();
                self.written = self.written.saturating_sub(1);
            }
        }
    }

    /// Returns whether the publish of this number on the stream was sent over an earlier
    /// connection, so that it may have been accepted.
    pub(super) fn was_tried(&self, number: u64) -> bool {
        number < self.tried
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Returns when the oldest was first sent; `None` if none of them was.
    pub(super) fn oldest(&self) -> Option<FirstAttempt> {
        self.chunks.front().and_then(|chunk| chunk.first)
    }

    /// Returns the numbers for publishes after all of these.
    pub(super) fn next_numbers(&self) -> Option<Numbers> {
        self.numbers.map(|Numbers { id, next }| Numbers {
            id,
            next: next + self.front + self.sizes.len() as u64,
        })
    }

    /// Returns everything unanswered; `buffer` contains what was not written yet.
    pub(super) fn into_unanswered(self, buffer: Bytes) -> Unanswered {
        let sent = self.chunks.iter().filter(|chunk| chunk.first.is_some());
        let tried = sent.map(|chunk| chunk.count).sum();
        self.into_unanswered_tried(buffer, tried)
    }

    /// Does what [`into_unanswered`](Self::into_unanswered) does for publishes that were rejected
    /// over this connection: they can only have been accepted over an earlier one.
    pub(super) fn into_rejected(mut self, buffer: Bytes) -> Unanswered {
        let tried = self.tried.saturating_sub(self.front);
        let mut before = 0;
        for chunk in &mut self.chunks {
            chunk.first = chunk.first.filter(|_| before < tried);
            before += chunk.count;
        }
        self.into_unanswered_tried(buffer, tried)
    }

    fn into_unanswered_tried(mut self, buffer: Bytes, tried: u64) -> Unanswered {
        let in_chunks = self.chunks.iter().map(|chunk| chunk.count).sum::<u64>();
        let count = self.sizes.len() as u64 - in_chunks;
        if count > 0 {
            self.chunks.push_back(Chunk {
                bytes: buffer,
                count,
                first: None,
            });
        }
        let numbers = self.numbers.map(|Numbers { id, next }| Numbers {
            id,
            next: next + self.front,
        });
        Unanswered {
            numbers,
            sizes: self.sizes,
            chunks: self.chunks,
            tried,
        }
    }
}
