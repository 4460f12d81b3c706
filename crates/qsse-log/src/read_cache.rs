//! [`ReadCache`]: recent reads of the past. Readers that come back together read it once.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::batches::Batches;
use crate::budget::Charge;
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
    /// Their allocated bytes.
    held: Charge,
    /// Whether a reader has asked since the last sweep.
    asked: bool,
}

impl<T: CachedRead + Clone> ReadCache<T> {
    pub(crate) fn new(all_bytes: Arc<AtomicUsize>, batches: &Batches) -> Self {
        let state = State {
            reads: VecDeque::new(),
            held: batches.own(),
            asked: false,
        };
        Self {
            state: Mutex::new(state),
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
        if state.reads.len() >= READS
            && let Some((_, oldest)) = state.reads.pop_front()
        {
            let left = state.held.bytes() - oldest.allocated();
            self.count(&mut state, left);
        }
        let held = read.allocated();
        if self.all_bytes.load(Ordering::Relaxed) + held <= most {
            state.reads.push_back((after, read.clone()));
            let held = state.held.bytes() + held;
            self.count(&mut state, held);
        }
    }

    /// Drops everything if no reader has asked since the last sweep.
    pub(crate) fn sweep(&self) {
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.asked) {
            self.forget(&mut state);
        }
    }
}

impl<T: CachedRead> ReadCache<T> {
    /// Drops everything.
    pub(crate) fn clear(&self) {
        self.forget(&mut self.state.lock());
    }

    fn forget(&self, state: &mut State<T>) {
        state.reads = VecDeque::new();
        self.count(state, 0);
    }

    /// Notes the bytes of all reads.
    fn count(&self, state: &mut State<T>, bytes: usize) {
        match bytes.checked_sub(state.held.bytes()) {
            Some(more) => self.all_bytes.fetch_add(more, Ordering::Relaxed),
            None => {
                let fewer = state.held.bytes() - bytes;
                self.all_bytes.fetch_sub(fewer, Ordering::Relaxed)
            }
        };
        state.held.resize(bytes);
    }
}

impl<T: CachedRead> Drop for ReadCache<T> {
    fn drop(&mut self) {
        let held = self.state.get_mut().held.bytes();
        self.all_bytes.fetch_sub(held, Ordering::Relaxed);
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

        let cache = ReadCache::new(Arc::clone(&all_bytes), &Batches::default());
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
        let cache = ReadCache::new(Arc::clone(&all_bytes), &Batches::default());
        for after in 0..=READS as u64 {
            cache.insert(after, &one, usize::MAX);
        }
        assert_eq!(bytes(), READS * one.allocated());
        assert!(cache.get(0).is_none() && cache.get(1).is_some());

        let full = ReadCache::new(Arc::clone(&all_bytes), &Batches::default());
        let before = bytes();
        full.insert(1, &one, before + one.allocated() - 1);
        assert!(full.get(1).is_none());
        full.insert(1, &one, before + one.allocated());
        assert!(full.get(1).is_some());
    }
}
