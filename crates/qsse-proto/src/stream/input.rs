//! [`Input`]: the received chunks, with a contiguous window on the next bytes.

use crate::batch::Head;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// The chunks that have not been read yet.
///
/// Fields are parsed in a [`window`](Input::window). It is the chunk itself or, if fields straddle
/// chunks, a short copy of both sides. Nothing longer than [`WINDOW`] is parsed in one piece.
#[derive(Debug, Default)]
pub(super) struct Input {
    front: Bytes,
    /// How much of `front` has been read.
    at: usize,
    more: VecDeque<Bytes>,
    /// A copy of fields that continue in `front`: `carried` bytes of earlier chunks, then bytes of
    /// `front`.
    carry: Vec<u8>,
    carried: usize,
    copied: u64,
}

/// A range of the current chunk. It is valid until the input is used again.
#[derive(Clone, Debug)]
pub(super) struct ChunkRange {
    start: usize,
    end: usize,
}

/// Longer than anything that is parsed in one piece.
const WINDOW: usize = 600;
const _: () = assert!(WINDOW > Head::MAX && WINDOW > crate::limits::STREAM_FRAME_BYTES);

impl Input {
    pub(super) fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        if self.at == self.front.len() && self.more.is_empty() {
            self.front = chunk;
            self.at = 0;
        } else {
            self.more.push_back(chunk);
        }
    }

    /// Returns the next bytes in one piece: all of the chunk, or at least as much as any field
    /// needs.
    #[inline]
    pub(super) fn window(&mut self) -> &[u8] {
        if self.carried == 0 {
            &self.front[self.at..]
        } else {
            self.carried_window()
        }
    }

    fn carried_window(&mut self) -> &[u8] {
        self.carry.truncate(self.carried);
        let ahead = &self.front[self.at..];
        let count = ahead.len().min(WINDOW - self.carried);
        self.carry.extend_from_slice(&ahead[..count]);
        self.copied += count as u64;
        &self.carry
    }

    /// Skips the first `count` bytes of the window, which must be more than were carried.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        self.at += count - self.carried;
        self.carried = 0;
    }

    /// Carries the window over to the next chunk, because it ends too early. Returns whether there
    /// is one.
    pub(super) fn carry(&mut self) -> bool {
        if self.carried == 0 {
            let rest = &self.front[self.at..];
            self.carry.clear();
            self.carry.extend_from_slice(rest);
            self.copied += rest.len() as u64;
        }
        debug_assert!(self.carry.len() < WINDOW, "nothing needs a longer window");
        self.carried = self.carry.len();
        self.advance()
    }

    /// Returns the rest of the chunk, unless bytes are carried over from an earlier one.
    #[inline]
    pub(super) fn chunk(&self) -> Option<&[u8]> {
        (self.carried == 0).then(|| &self.front[self.at..])
    }

    /// Skips `skip` bytes, then reads `count` bytes. Returns where those are.
    #[inline]
    pub(super) fn take(&mut self, skip: usize, count: usize) -> ChunkRange {
        let start = self.at + skip;
        self.at = start + count;
        ChunkRange {
            start,
            end: self.at,
        }
    }

    /// Returns a range of the chunk as shared bytes.
    #[inline]
    pub(super) fn share(&self, ChunkRange { start, end }: ChunkRange) -> Bytes {
        self.front.slice(start..end)
    }

    /// Returns a range of the chunk, borrowed.
    #[inline]
    pub(super) fn borrow(&self, share: &ChunkRange) -> &[u8] {
        &self.front[share.start..share.end]
    }

    /// Appends up to `count` bytes to `out`. Returns `false` if there are fewer.
    pub(super) fn copy(&mut self, out: &mut BytesMut, mut count: usize) -> bool {
        while count > 0 {
            let rest = &self.front[self.at..];
            let part = rest.len().min(count);
            reserve(out, part, count);
            out.extend_from_slice(&rest[..part]);
            self.copied += part as u64;
            self.at += part;
            count -= part;
            if count > 0 && !self.advance() {
                return false;
            }
        }
        true
    }

    /// Skips up to `count` bytes. Returns how many it skipped.
    pub(super) fn skip(&mut self, count: usize) -> usize {
        let mut left = count;
        loop {
            let part = (self.front.len() - self.at).min(left);
            self.at += part;
            left -= part;
            if left == 0 || !self.advance() {
                return count - left;
            }
        }
    }

    /// Returns whether nothing is left, neither in chunks nor carried.
    pub(super) fn is_empty(&self) -> bool {
        self.carried == 0 && self.at == self.front.len() && self.more.is_empty()
    }

    pub(super) const fn copied(&self) -> u64 {
        self.copied
    }

    /// Drops the current chunk, which has been read, and takes the next. Returns whether there is
    /// one.
    fn advance(&mut self) -> bool {
        self.at = 0;
        match self.more.pop_front() {
            Some(chunk) => self.front = chunk,
            None => self.front = Bytes::new(),
        }
        !self.front.is_empty()
    }
}

/// How far ahead of the received bytes memory is reserved at most, so that a length alone costs
/// nothing.
const AHEAD: usize = 64 * 1024;

/// Reserves room for the `part` that has arrived, and ahead for some of the `count` that will.
fn reserve(out: &mut BytesMut, part: usize, count: usize) {
    if out.capacity() - out.len() < part {
        out.reserve(count.min(out.len().max(AHEAD)).max(part));
    }
}
