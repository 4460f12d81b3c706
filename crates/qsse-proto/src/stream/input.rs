//! Chunks as they come, and a window on what is next in them.

use crate::batch::Head;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// The chunks that are not read yet.
///
/// Fields are parsed in a [`window`](Input::window): the chunk itself, or, where fields straddle
/// chunks, a short copy of both sides. Nothing longer than [`WINDOW`] is ever looked at in one.
#[derive(Debug, Default)]
pub(super) struct Input {
    front: Bytes,
    /// How much of `front` is read.
    at: usize,
    more: VecDeque<Bytes>,
    /// The beginning of fields that go on in `front`: `carried` bytes from chunks that are gone, and
    /// behind them a copy of what `front` has.
    carry: Vec<u8>,
    carried: usize,
    copied: u64,
}

/// A place in the chunk that is read, until anything further is asked of the input.
#[derive(Clone, Debug)]
pub(super) struct Share {
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

    /// What comes next, in one piece: all of the chunk, or at least as much as anything needs.
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

    /// Goes on behind the first `count` bytes of the window, which are more than were carried.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        self.at += count - self.carried;
        self.carried = 0;
    }

    /// The window ends too early: keeps it and goes on to the next chunk, if there is one.
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

    /// What is left of the chunk, unless something is carried over from the one before.
    #[inline]
    pub(super) fn chunk(&self) -> Option<&[u8]> {
        (self.carried == 0).then(|| &self.front[self.at..])
    }

    /// Goes on behind the `count` bytes that follow the next `skip`, and says where they are.
    #[inline]
    pub(super) fn take(&mut self, skip: usize, count: usize) -> Share {
        let start = self.at + skip;
        self.at = start + count;
        Share {
            start,
            end: self.at,
        }
    }

    /// A share of the chunk, to keep.
    #[inline]
    pub(super) fn share(&self, Share { start, end }: Share) -> Bytes {
        self.front.slice(start..end)
    }

    /// A share of the chunk, as long as it is there.
    #[inline]
    pub(super) fn borrow(&self, share: &Share) -> &[u8] {
        &self.front[share.start..share.end]
    }

    /// Copies up to `count` bytes behind `out`; `false` if there are fewer.
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

    /// Drops up to `count` bytes and says how many.
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

    /// Whether nothing is left, neither in chunks nor carried.
    pub(super) fn is_empty(&self) -> bool {
        self.carried == 0 && self.at == self.front.len() && self.more.is_empty()
    }

    pub(super) const fn copied(&self) -> u64 {
        self.copied
    }

    /// Lets go of the chunk, which is read, and takes the next.
    fn advance(&mut self) -> bool {
        self.at = 0;
        match self.more.pop_front() {
            Some(chunk) => self.front = chunk,
            None => self.front = Bytes::new(),
        }
        !self.front.is_empty()
    }
}

/// Memory is reserved at most this far ahead of what has come, so that a length alone costs nothing.
const AHEAD: usize = 64 * 1024;

/// Room for the `part` that is there, and with foresight for the `count` that is to come.
fn reserve(out: &mut BytesMut, part: usize, count: usize) {
    if out.capacity() - out.len() < part {
        out.reserve(count.min(out.len().max(AHEAD)).max(part));
    }
}
