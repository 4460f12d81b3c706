//! [`Again`]: what a publishing stream would send again over the next connection, in order; without I/O.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use qsse_proto::Frame;
use qsse_proto::frame::{HEADER_BYTES, kind};
use qsse_proto::publish::{self, PublisherFrame};

use super::keys::First;
use crate::session::Session;

/// Written at once: little, so that the age in a mark is true when it leaves.
const TURN_BYTES: usize = 32 * 1024;

/// The publishes without an answer, each with its frame and its key. The front is the oldest.
#[derive(Debug, Default)]
pub(super) struct Again {
    entries: VecDeque<Entry>,
    /// The number of the front.
    front: u64,
    /// Those before this number were on their way over this connection.
    written: u64,
    /// Those before this number were left by the connection before, and are written from here.
    left: u64,
}

#[derive(Debug)]
pub(crate) struct Entry {
    /// What it takes of the room.
    pub(super) cost: u32,
    len: usize,
    /// As it was first sent, without a mark: a share of what was written then. Empty until it is.
    frame: Bytes,
    /// When it was first on its way, if it was.
    first: Option<First>,
    /// It was on its way over an earlier connection.
    tried: bool,
}

impl Again {
    /// With what another stream left.
    pub(super) fn of(left: VecDeque<Entry>) -> Self {
        Self {
            left: left.len() as u64,
            entries: left,
            ..Self::default()
        }
    }

    /// The next publish, whose frame of `len` bytes will be part of what is written.
    pub(super) fn push(&mut self, cost: u32, len: usize) {
        self.entries.push_back(Entry {
            cost,
            len,
            frame: Bytes::new(),
            first: None,
            tried: false,
        });
    }

    /// These bytes are on their way: all that was pushed and is not yet.
    pub(super) fn wrote(&mut self, mut bytes: Bytes, session: &Session) {
        let first = First::now(session);
        let skip = (self.written - self.front) as usize;
        for entry in self.entries.iter_mut().skip(skip) {
            entry.frame = bytes.split_to(entry.len);
            entry.first = Some(first);
        }
        self.written = self.front + self.entries.len() as u64;
    }

    /// Some of what was left by the connection before, to be written first; and the number of the one behind it.
    pub(super) fn next(&mut self, session: &Session) -> Option<(Bytes, u64)> {
        let mut out = BytesMut::new();
        while self.written < self.left && out.len() < TURN_BYTES {
            let entry = self.entries.get_mut((self.written - self.front) as usize)?;
            entry.write(&mut out, session);
            self.written += 1;
        }
        (!out.is_empty()).then(|| (out.freeze(), self.written))
    }

    /// Those before this number are answered.
    pub(super) fn forget(&mut self, answered: u64) {
        while self.front < answered && self.entries.pop_front().is_some() {
            self.front += 1;
        }
    }

    /// Whether the publish of this number was on its way over an earlier connection, so that it may have been taken.
    pub(super) fn was_tried(&self, number: u64) -> bool {
        let index = number.checked_sub(self.front);
        let entry = index.and_then(|index| self.entries.get(index as usize));
        entry.is_some_and(|entry| entry.tried)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When the oldest was first on its way; `None` if none of them was.
    pub(super) fn oldest(&self) -> Option<First> {
        self.entries.front().and_then(|entry| entry.first)
    }

    /// Everything without an answer; `buffer` holds what was not written yet.
    pub(super) fn leave(mut self, mut buffer: Bytes) -> VecDeque<Entry> {
        for entry in &mut self.entries {
            if entry.frame.is_empty() {
                entry.frame = buffer.split_to(entry.len);
            }
            entry.tried = entry.first.is_some();
        }
        self.entries
    }

    /// As [`leave`](Self::leave), of publishes that were refused over this connection: they were not taken, unless it was over an earlier one.
    pub(super) fn leave_untaken(mut self, buffer: Bytes) -> VecDeque<Entry> {
        let before: Vec<_> = self.entries.iter().map(|entry| entry.tried).collect();
        for (entry, tried) in self.entries.iter_mut().zip(&before) {
            if entry.frame.is_empty() {
                continue;
            }
            entry.first = entry.first.filter(|_| *tried);
        }
        let mut left = self.leave(buffer);
        for (entry, tried) in left.iter_mut().zip(before) {
            entry.tried = tried;
        }
        left
    }
}

impl Entry {
    /// When it was first on its way, if it may have been taken then.
    pub(super) fn first(&self) -> Option<First> {
        self.first
    }

    fn write(&mut self, out: &mut BytesMut, session: &Session) {
        let Some(first) = self.first else {
            self.first = Some(First::now(session));
            out.extend_from_slice(&self.frame);
            return;
        };
        let frame = Frame {
            kind: kind::PUBLISH,
            body: self.frame.slice(HEADER_BYTES..),
        };
        let Ok(PublisherFrame::Publish(publish)) = PublisherFrame::decode(frame) else {
            unreachable!("a frame of our own");
        };
        let key = publish.key().expect("only publishes with a key are kept");
        let (topic, kind, data) = (publish.topic(), publish.kind(), publish.data());
        // QP-8.12
        let key = (key, Some(first.mark(Duration::ZERO)));
        publish::write_keyed(out, publish.is_matching(), topic, kind, key, data);
    }
}
