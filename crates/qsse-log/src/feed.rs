//! [`Feed`]: the live tail of one filter, in batches that all its readers share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use qsse_proto::batch::{Batch, Builder};
use qsse_proto::{Epoch, Timestamp};
use qsse_topic::Filter;

use crate::backpressure::ReaderProgresses;
use crate::batches::{Batches, LargeBatch};
use crate::budget::Charge;
use crate::encoding::Encoding;
use crate::history::Read;
use crate::read_cache::ReadCache;
use crate::storage::StoredEvents;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::waiters::{WaiterKey, Waiters};

mod totals;
mod writer;

pub(crate) use totals::FeedTotals;
pub(crate) use writer::FeedWriter;

/// The memory of a sealed or re-encoded batch besides its bytes.
const BATCH_OVERHEAD: usize = size_of::<Batch>() + 64;

/// The live tail of one filter.
pub(crate) struct Feed {
    filter: Filter,
    state: Mutex<State>,
    /// Locked while a batch is encoded, so that other readers wait instead of encoding it too.
    encoding: Mutex<()>,
    /// How far the readers are.
    pub(crate) progress: ReaderProgresses,
    /// Reads of the history and of the storage that other readers may need too.
    pub(crate) past: ReadCache<Read>,
    pub(crate) stored: ReadCache<StoredEvents>,
    /// The number of readers. It grows only under the log's lock.
    readers: AtomicUsize,
    totals: Arc<FeedTotals>,
}

struct State {
    /// Matching events up to here may be missing.
    floor: u64,
    /// Counts the batches that are sealed.
    batches: Batches,
    sealed: VecDeque<Batch>,
    /// The batches of large events among them, which others hold too. These count once for all.
    large: VecDeque<LargeBatch>,
    open: Builder,
    /// Sealed batches in other encodings, by first seq and encoding.
    encoded: BTreeMap<(u64, (&'static str, usize)), Bytes>,
    /// The part of the totals that belongs to this feed, apart from cached reads.
    counted: usize,
    /// Allocated bytes of `sealed` and `encoded`.
    sealed_bytes: usize,
    /// The part of `large`.
    large_bytes: usize,
    /// The part of the other batches.
    own: Charge,
    /// Readers that wait for the next event.
    waiters: Waiters,
}

/// What a feed has after a position.
pub(crate) enum Taken {
    /// Batches, which were added to the list.
    Batches,
    /// The position is below the feed, which begins after `floor`.
    Below { floor: u64 },
    /// The position is inside this batch.
    Inside(Batch),
    /// Nothing yet.
    Nothing,
}

impl Feed {
    /// Creates a feed with one reader. `batches` counts the batches that are sealed.
    pub(crate) fn new(filter: Filter, totals: Arc<FeedTotals>, batches: &Batches) -> Self {
        let state = State {
            floor: 0,
            batches: batches.clone(),
            sealed: VecDeque::new(),
            large: VecDeque::new(),
            open: Builder::new(),
            encoded: BTreeMap::new(),
            counted: 0,
            sealed_bytes: 0,
            large_bytes: 0,
            own: batches.own(),
            waiters: Waiters::default(),
        };
        Self {
            filter,
            state: Mutex::new(state),
            encoding: Mutex::new(()),
            progress: ReaderProgresses::default(),
            past: ReadCache::new(Arc::clone(&totals.bytes), batches),
            stored: ReadCache::new(Arc::clone(&totals.bytes), batches),
            readers: AtomicUsize::new(1),
            totals,
        }
    }

    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    pub(crate) fn readers(&self) -> usize {
        self.readers.load(Ordering::Acquire)
    }

    /// Adds a reader.
    pub(crate) fn join(&self) {
        if self.readers.fetch_add(1, Ordering::AcqRel) == 0 {
            self.totals.remove_idle();
        }
    }

    /// Removes a reader.
    pub(crate) fn leave(&self) {
        if self.readers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.totals.add_idle();
        }
    }

    /// Notes that the feed is being dropped. It has no reader, and gets none from now on.
    pub(crate) fn end(&self) {
        self.totals.remove_idle();
        self.shrink_to(0);
        self.past.clear();
        self.stored.clear();
    }

    /// Makes the feed begin after `floor`, without any batch.
    pub(crate) fn begin_after(&self, floor: u64) {
        let mut state = self.state.lock();
        state.forget(floor);
        self.count(&mut state);
    }

    /// Seals the open batch, so that a batch ends at the head. Returns the floor.
    pub(crate) fn seal(&self) -> u64 {
        let mut state = self.state.lock();
        state.seal();
        self.count(&mut state);
        state.floor
    }

    /// Removes the waiter of a reader.
    pub(crate) fn forget_waiter(&self, waiter: WaiterKey) {
        let left = self.state.lock().waiters.leave(waiter);
        drop(left);
    }

    /// Locks the feed for appending. Call it under the log's lock, so that no reader joins
    /// meanwhile.
    pub(crate) fn write(&self) -> FeedWriter<'_> {
        FeedWriter::new(self, self.readers() > 0, self.state.lock())
    }

    /// Drops the oldest batches beyond `budget` bytes.
    pub(crate) fn shrink_to(&self, budget: usize) {
        let mut state = self.state.lock();
        state.shrink_to(budget);
        self.count(&mut state);
    }

    /// Takes the batches after `position`, until they exceed `budget` bytes.
    pub(crate) fn take(&self, position: u64, budget: usize, out: &mut Vec<Batch>) -> Taken {
        let mut state = self.state.lock();
        if position < state.floor {
            return Taken::Below { floor: state.floor };
        }
        if !state.has_after(position) {
            return Taken::Nothing;
        }
        state.seal();
        self.count(&mut state);
        let first = state.first_after(position);
        if state.sealed[first].first_seq() <= position {
            return Taken::Inside(state.sealed[first].clone());
        }
        let mut room = budget;
        for batch in state.sealed.range(first..) {
            out.push(batch.clone());
            room = room.saturating_sub(batch.bytes().len());
            if room == 0 {
                break;
            }
        }
        Taken::Batches
    }

    /// Returns the position before the first event of `time` or later, if nothing after it is
    /// missing here. Searches only sealed batches. The result is wrong if times have gone back.
    pub(crate) fn before(&self, time: Timestamp) -> Option<u64> {
        let state = self.state.lock();
        let batches = &state.sealed;
        let later = batches.partition_point(|batch| batch.iter().any(|event| event.time() < time));
        let last = batches.get(later.checked_sub(1)?);
        let older =
            last.and_then(|batch| batch.iter().take_while(|event| event.time() < time).last());
        older.map(|event| event.seq())
    }

    /// Returns a batch in another encoding. While the feed holds the batch, it is encoded once for
    /// all readers.
    pub(crate) fn encoded(&self, batch: &Batch, encoding: Encoding, epoch: Epoch) -> Bytes {
        let key = (batch.first_seq(), encoding.key());
        if !self.state.lock().holds(batch) {
            return encoding.encode(batch, epoch);
        }
        let _one_at_a_time = self.encoding.lock();
        if let Some(known) = self.state.lock().encoded.get(&key) {
            return known.clone();
        }
        let bytes = encoding.encode(batch, epoch);
        let mut state = self.state.lock();
        if state.holds(batch) {
            state.sealed_bytes += bytes.len() + BATCH_OVERHEAD;
            state.encoded.insert(key, bytes.clone());
            self.count(&mut state);
        }
        bytes
    }

    /// Returns whether all readers that keep up have taken everything up to `seq`.
    pub(crate) fn is_taken(&self, seq: u64) -> bool {
        let state = self.state.lock();
        let slowest = self.progress.slowest(state.floor);
        slowest.is_none_or(|taken| taken >= seq || !state.has_after(taken))
    }

    /// Checks whether there is something for `position`: newer events, or a floor above it. If not,
    /// the task is woken as soon as there is.
    pub(crate) fn poll_ready(
        &self,
        position: u64,
        waiter: &mut Option<WaiterKey>,
        waker: &Waker,
    ) -> Poll<()> {
        let mut state = self.state.lock();
        if position < state.floor || state.has_after(position) {
            return Poll::Ready(());
        }
        let replaced = state.waiters.register(waiter, waker);
        drop((state, replaced));
        Poll::Pending
    }

    /// Updates the sum of all feeds.
    fn count(&self, state: &mut State) {
        let now = state.sealed_bytes - state.large_bytes + state.open.capacity();
        // Most events change nothing, and an atomic operation is more expensive than the rest of
        // them.
        if now == state.counted {
            return;
        }
        self.totals.count(state.counted, now);
        state.counted = now;
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.totals.count(self.state.get_mut().counted, 0);
    }
}

impl State {
    fn has_after(&self, position: u64) -> bool {
        let newest = self
            .open
            .last_seq()
            .or_else(|| self.sealed.back().map(Batch::last_seq));
        newest.is_some_and(|newest| newest > position)
    }

    /// Returns the number of the first batch with an event after `position`. There must be one.
    fn first_after(&self, position: u64) -> usize {
        let before = |batch: &Batch| batch.last_seq() <= position;
        let newest = self.sealed.len() - 1;
        // It is usually the newest batch. A search would read a dozen batches far apart in memory.
        if newest == 0 || before(&self.sealed[newest - 1]) {
            return newest;
        }
        self.sealed.partition_point(before)
    }

    /// Returns whether the feed holds this very batch. A batch with the same seqs may lack some
    /// events.
    fn holds(&self, batch: &Batch) -> bool {
        let same =
            |own: &Batch| std::ptr::eq(&raw const own.bytes()[..], &raw const batch.bytes()[..]);
        let at = self
            .sealed
            .binary_search_by_key(&batch.first_seq(), Batch::first_seq);
        at.is_ok_and(|at| same(&self.sealed[at]))
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            let batch = self.batches.hold(self.open.finish());
            self.push(batch);
        }
    }

    fn push(&mut self, batch: Batch) {
        self.own.resize(self.own.bytes() + batch.allocated());
        self.sealed_bytes += batch.allocated() + BATCH_OVERHEAD;
        self.sealed.push_back(batch);
    }

    fn push_large(&mut self, large: LargeBatch) {
        let bytes = large.batch.allocated();
        self.large_bytes += bytes;
        self.sealed_bytes += bytes + BATCH_OVERHEAD;
        self.sealed.push_back(large.batch.clone());
        self.large.push_back(large);
    }

    fn pop(&mut self) -> Option<Batch> {
        let oldest = self.sealed.pop_front()?;
        let bytes = oldest.allocated();
        self.sealed_bytes -= bytes + BATCH_OVERHEAD;
        let large = self.large.front().map(|large| large.batch.first_seq());
        if large == Some(oldest.first_seq()) {
            self.large_bytes -= bytes;
            self.large.pop_front();
        } else {
            self.own.resize(self.own.bytes() - bytes);
        }
        Some(oldest)
    }

    fn shrink_to(&mut self, budget: usize) {
        while self.is_over(budget) {
            if self.sealed.is_empty() {
                self.seal();
            }
            let Some(oldest) = self.pop() else {
                break;
            };
            self.floor = oldest.last_seq();
            self.forget_encoded();
        }
    }

    /// The spare room of the open batch counts too, but does not cause that batch to be dropped.
    fn is_over(&self, budget: usize) -> bool {
        let open = match self.sealed.is_empty() {
            true => self.open.len(),
            false => self.open.capacity(),
        };
        self.sealed_bytes + open > budget
    }

    /// Drops the other encodings of dropped batches.
    fn forget_encoded(&mut self) {
        while let Some(oldest) = self.encoded.first_entry()
            && oldest.key().0 <= self.floor
        {
            self.sealed_bytes -= oldest.remove().len() + BATCH_OVERHEAD;
        }
    }

    /// Drops everything, because there is no reader.
    fn forget(&mut self, floor: u64) {
        self.floor = floor;
        if self.open.capacity() > 0 {
            self.open = Builder::new();
        }
        self.sealed.clear();
        self.large.clear();
        self.own.resize(0);
        self.encoded.clear();
        (self.sealed_bytes, self.large_bytes) = (0, 0);
    }
}

#[cfg(test)]
mod tests;
