//! [`Again`]: what a publishing stream would send again over the next connection, in order; without I/O.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use qsse_proto::publish::{PublisherId, Tried};

use super::keys::First;
use crate::session::Session;

/// A publisher's numbers: an id that no other has, and the number of the next publish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(super) id: PublisherId,
    pub(super) next: u64,
}

/// What one stream leaves to the next one.
#[derive(Debug)]
pub(crate) struct Left {
    /// The number of the first publish in it, if they have numbers.
    numbers: Option<Numbers>,
    /// What each takes of the room, and the length of its frame.
    sizes: VecDeque<(u32, u32)>,
    chunks: VecDeque<Chunk>,
    /// So many of the first may have been taken.
    tried: u64,
}

/// The publishes without an answer. The front is the oldest.
#[derive(Debug)]
pub(super) struct Again {
    /// As they were first written: whole frames, shares of what was written. The first chunk has lost those that are answered.
    chunks: VecDeque<Chunk>,
    /// What each takes of the room, and the length of its frame; of those in the buffer too.
    sizes: VecDeque<(u32, u32)>,
    /// The number, on the stream, of the front.
    front: u64,
    /// The numbers of the stream, if it has any: `next` is that of its first publish.
    numbers: Option<Numbers>,
    /// Chunks at the front that are written.
    written: usize,
    /// Those before this number, on the stream, may have been taken over an earlier connection.
    tried: u64,
}

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    /// How many publishes it has.
    count: u64,
    /// When it was first on its way, if it was.
    first: Option<First>,
}

impl Left {
    /// Nothing, for a publisher that begins.
    pub(crate) fn nothing(numbers: Option<Numbers>) -> Self {
        Self {
            numbers,
            sizes: VecDeque::new(),
            chunks: VecDeque::new(),
            tried: 0,
        }
    }

    /// What each publish takes of the room.
    pub(super) fn costs(&self) -> impl Iterator<Item = u32> {
        self.sizes.iter().map(|(cost, _)| *cost)
    }

    pub(super) fn len(&self) -> u64 {
        self.sizes.len() as u64
    }

    pub(super) fn numbers(&self) -> Option<Numbers> {
        self.numbers
    }

    /// When the oldest was first on its way, if it may have been taken then.
    pub(super) fn oldest(&self) -> Option<First> {
        let first = self.chunks.front().and_then(|chunk| chunk.first);
        first.filter(|_| self.tried > 0)
    }

    /// What the server is told of it.
    pub(super) fn mark(&self) -> Option<Tried> {
        let (numbers, first) = (self.numbers?, self.oldest()?);
        let retry = first.mark();
        Some(Tried {
            through: numbers.next + self.tried - 1,
            epoch: retry.epoch,
            ago_ms: retry.ago_ms,
        })
    }
}

impl Again {
    /// With what another stream left.
    pub(super) fn of(left: Left) -> Self {
        Self {
            chunks: left.chunks,
            sizes: left.sizes,
            front: 0,
            numbers: left.numbers,
            written: 0,
            tried: left.tried,
        }
    }

    /// The next publish, whose frame of `len` bytes will be part of what is written.
    pub(super) fn push(&mut self, cost: u32, len: usize) {
        self.sizes
            .push_back((cost, u32::try_from(len).unwrap_or(u32::MAX)));
    }

    /// These bytes, of all that was pushed and is not written, are on their way.
    pub(super) fn wrote(&mut self, bytes: Bytes, count: u64, session: &Session) {
        let first = Some(First::now(session));
        self.chunks.push_back(Chunk {
            bytes,
            count,
            first,
        });
        self.written = self.chunks.len();
    }

    /// Some of what was left by the connection before, to be written first, and of how many publishes.
    pub(super) fn next(&mut self, session: &Session) -> Option<(Bytes, u64)> {
        let chunk = self.chunks.get_mut(self.written)?;
        chunk.first.get_or_insert_with(|| First::now(session));
        self.written += 1;
        Some((chunk.bytes.clone(), chunk.count))
    }

    /// Those before this number, on the stream, are answered.
    pub(super) fn forget(&mut self, answered: u64) {
        while self.front < answered
            && let Some((_, len)) = self.sizes.pop_front()
        {
            self.front += 1;
            let Some(chunk) = self.chunks.front_mut() else {
                continue;
            };
            chunk.bytes.advance((len as usize).min(chunk.bytes.len()));
            chunk.count -= 1;
            if chunk.count == 0 {
                self.chunks.pop_front();
                self.written = self.written.saturating_sub(1);
            }
        }
    }

    /// Whether the publish of this number, on the stream, was on its way over an earlier connection, so that it may have been taken.
    pub(super) fn was_tried(&self, number: u64) -> bool {
        number < self.tried
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// When the oldest was first on its way; `None` if none of them was.
    pub(super) fn oldest(&self) -> Option<First> {
        self.chunks.front().and_then(|chunk| chunk.first)
    }

    /// The numbers for what comes behind it.
    pub(super) fn numbers_behind(&self) -> Option<Numbers> {
        self.numbers.map(|Numbers { id, next }| Numbers {
            id,
            next: next + self.front + self.sizes.len() as u64,
        })
    }

    /// Everything without an answer; `buffer` holds what was not written yet.
    pub(super) fn leave(self, buffer: Bytes) -> Left {
        let sent = self.chunks.iter().filter(|chunk| chunk.first.is_some());
        let tried = sent.map(|chunk| chunk.count).sum();
        self.leave_tried(buffer, tried)
    }

    /// As [`leave`](Self::leave), of publishes that were refused over this connection: they were not taken, unless it was over an earlier one.
    pub(super) fn leave_untaken(mut self, buffer: Bytes) -> Left {
        let tried = self.tried.saturating_sub(self.front);
        let mut before = 0;
        for chunk in &mut self.chunks {
            chunk.first = chunk.first.filter(|_| before < tried);
            before += chunk.count;
        }
        self.leave_tried(buffer, tried)
    }

    fn leave_tried(mut self, buffer: Bytes, tried: u64) -> Left {
        let count =
            self.sizes.len() as u64 - self.chunks.iter().map(|chunk| chunk.count).sum::<u64>();
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
        Left {
            numbers,
            sizes: self.sizes,
            chunks: self.chunks,
            tried,
        }
    }
}
