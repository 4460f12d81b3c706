//! The positions of the topic names in a batch.

use bytes::Bytes;
use std::iter::FusedIterator;
use std::sync::Arc;

/// The offsets of the names' length bytes in a frame. One topic needs no allocation.
#[derive(Clone, Debug)]
pub(super) enum Positions {
    One(u32),
    Many(Arc<[u32]>),
}

impl Positions {
    pub(super) fn new(first: u32, others: &[u32]) -> Self {
        if others.is_empty() {
            return Self::One(first);
        }
        Self::Many(
            std::iter::once(first)
                .chain(others.iter().copied())
                .collect(),
        )
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(position) => std::slice::from_ref(position),
            Self::Many(positions) => positions,
        }
    }

    /// Returns the bytes on the heap, including the counters of the `Arc`.
    pub(super) fn allocated(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Many(positions) => size_of_val(&**positions) + 2 * size_of::<usize>(),
        }
    }
}

/// The topics of a [`Batch`](super::Batch), in the order of their first use.
#[derive(Clone, Debug)]
pub struct Topics<'a> {
    bytes: &'a [u8],
    positions: std::slice::Iter<'a, u32>,
}

impl<'a> Topics<'a> {
    pub(super) fn new(bytes: &'a Bytes, positions: &'a Positions) -> Self {
        Self {
            bytes,
            positions: positions.as_slice().iter(),
        }
    }
}

impl<'a> Iterator for Topics<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let at = *self.positions.next()? as usize;
        let name = &self.bytes[at + 1..][..usize::from(self.bytes[at])];
        Some(std::str::from_utf8(name).expect("a batch has only checked names"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.positions.size_hint()
    }
}

impl ExactSizeIterator for Topics<'_> {}
impl FusedIterator for Topics<'_> {}
