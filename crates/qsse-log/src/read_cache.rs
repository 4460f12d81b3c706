//! [`ReadCache`]: recent reads of the past. Readers that come back together read it once.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// A read of everything ends at a multiple of this many seqs. So readers that started anywhere soon
/// make the same reads.
pub(crate) const STRIDE: u64 = 1 << 10;

/// The same for reads that may find little in many seqs.
pub(crate) const LONG_STRIDE: u64 = 1 << 16;

/// The number of reads that are remembered.
const READS: usize = 16;

/// Returns the end of a read that begins after `after`.
pub(crate) fn end(after: u64, upto: u64, stride: u64) -> u64 {
    upto.min((after / stride + 1).saturating_mul(stride))
}

/// A read that can be cached.
pub(crate) trait CachedRead {
    /// Returns the allocated bytes.
    fn allocated(&self) -> usize;
}

/// The last reads of one filter, by the position after which they begin.
pub(crate) struct ReadCache<T: CachedRead> {
    state: Mutex<State<T>>,
    /// Allocated bytes of all feeds together. Cached reads are a part of it.
    all_bytes: Arc<AtomicUsize>,
}

struct State<T> {
    reads: VecDeque<(u64, T)>,
    /// Whether a reader has asked since the last sweep.
    asked: bool,
}

impl<T: CachedRead + Clone> ReadCache<T> {
    pub(crate) fn new(all_bytes: Arc<AtomicUsize>) -> Self {
        let (reads, asked) = (VecDeque::new(), false);
        Self {
            state: Mutex::new(State { reads, asked }),
            all_bytes,
        }
    }

    /// Returns the read that began after `after`, if it is cached.
    pub(crate) fn get(&self, after: u64) -> Option<T> {
        let mut state = self.state.lock();
        state.asked = true;
        let found = state.reads.iter().find(|(known, _)| *known == after);
        found.map(|(_, read)| read.clone())
    }

    /// Caches a read in place of the oldest one, unless feeds already have `most` bytes.
    pub(crate) fn insert(&self, after: u64, read: &T, most: usize) {
        let mut state = self.state.lock();
        if state.reads.iter().any(|(known, _)| *known == after) {
            return;
        }
        if state.reads.len() >= READS {
            let oldest = state.reads.pop_front();
            self.forget(oldest);
        }
        let held = read.allocated();
        if self.all_bytes.load(Ordering::Relaxed) + held <= most {
            self.all_bytes.fetch_add(held, Ordering::Relaxed);
            state.reads.push_back((after, read.clone()));
        }
    }

    /// Drops everything if no reader has asked since the last sweep.
    pub(crate) fn sweep(&self) {
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.asked) {
            let reads = std::mem::take(&mut state.reads);
            self.forget(reads);
        }
    }
}

impl<T: CachedRead> ReadCache<T> {
    /// Drops everything.
    pub(crate) fn clear(&self) {
        let reads = std::mem::take(&mut self.state.lock().reads);
        self.forget(reads);
    }

    fn forget(&self, reads: impl IntoIterator<Item = (u64, T)>) {
        let held = reads.into_iter().map(|(_, read)| read.allocated()).sum();
        self.all_bytes.fetch_sub(held, Ordering::Relaxed);
    }
}

impl<T: CachedRead> Drop for ReadCache<T> {
    fn drop(&mut self) {
        let reads = std::mem::take(&mut self.state.get_mut().reads);
        self.forget(reads);
    }
}

#[cfg(test)]
mod tests {
    use qsse_proto::Timestamp;
    use qsse_proto::batch::Builder;

    use super::*;
    use crate::history::Read;
    use crate::storage::StoredEvents;

    fn stored(batches: u64) -> StoredEvents {
        let mut stored = StoredEvents::default();
        for seq in 1..=batches {
            let mut builder = Builder::new();
            builder.push(seq, Timestamp::default(), "a", "message", b"x");
            stored.batches.push(builder.finish());
        }
        stored
    }

    #[test]
    fn a_read_ends_at_the_next_multiple_or_where_it_has_to() {
        assert_eq!(
            (end(0, 100, 10), end(9, 100, 10), end(10, 100, 10)),
            (10, 10, 20)
        );
        assert_eq!(
            (end(95, 97, 10), end(u64::MAX - 1, u64::MAX, 10)),
            (97, u64::MAX)
        );
    }

    #[test]
    fn what_is_remembered_is_counted_until_nobody_asks_for_it() {
        let all_bytes = Arc::new(AtomicUsize::new(1_000));
        let bytes = || all_bytes.load(Ordering::Relaxed);
        let (one, two) = (stored(1), stored(2));
        assert_eq!(two.allocated(), 2 * one.allocated());
        assert!(one.allocated() >= one.batches[0].bytes().len());
        let held = |batch| Read { batch, through: 1 }.allocated();
        assert_eq!(
            (held(one.batches.first().cloned()), held(None)),
            (one.allocated(), 0)
        );

        let cache = ReadCache::new(Arc::clone(&all_bytes));
        cache.insert(5, &one, usize::MAX);
        cache.insert(7, &two, usize::MAX);
        cache.insert(7, &one, usize::MAX);
        assert_eq!(bytes(), 1_000 + 3 * one.allocated());
        assert_eq!(cache.get(7).map(|read| read.batches.len()), Some(2));
        assert!(cache.get(6).is_none());
        cache.sweep();
        assert!(cache.get(5).is_some(), "it was asked for before the sweep");
        cache.sweep();
        cache.sweep();
        assert_eq!(bytes(), 1_000);
        assert!(cache.get(5).is_none());
        cache.insert(5, &one, usize::MAX);
        drop(cache);
        assert_eq!(bytes(), 1_000);
    }

    #[test]
    fn reads_are_remembered_up_to_a_number_and_as_long_as_there_is_room() {
        let all_bytes = Arc::new(AtomicUsize::new(0));
        let bytes = || all_bytes.load(Ordering::Relaxed);
        let one = stored(1);
        let cache = ReadCache::new(Arc::clone(&all_bytes));
        for after in 0..=READS as u64 {
            cache.insert(after, &one, usize::MAX);
        }
        assert_eq!(bytes(), READS * one.allocated());
        assert!(cache.get(0).is_none() && cache.get(1).is_some());

        let full = ReadCache::new(Arc::clone(&all_bytes));
        let before = bytes();
        full.insert(1, &one, before + one.allocated() - 1);
        assert!(full.get(1).is_none());
        full.insert(1, &one, before + one.allocated());
        assert!(full.get(1).is_some());
    }
}
