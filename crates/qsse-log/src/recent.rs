//! What was read of the past lately: those who come back together read it once.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Reads of everything end at multiples of this many seqs, so that readers who began anywhere soon ask the same.
pub(crate) const STRIDE: u64 = 1 << 10;

/// The same of reads that may find little in many seqs.
pub(crate) const LONG_STRIDE: u64 = 1 << 16;

/// Reads that are remembered.
const READS: usize = 16;

/// The last reads of one filter, by the position that they began at.
pub(crate) struct Recent<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    reads: VecDeque<(u64, T)>,
    /// Somebody has asked since the last sweep.
    asked: bool,
}

/// Where a read from `after` on has to end at the latest.
pub(crate) fn end(after: u64, upto: u64, stride: u64) -> u64 {
    upto.min((after / stride + 1).saturating_mul(stride))
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        let reads = VecDeque::new();
        Self {
            state: Mutex::new(State {
                reads,
                asked: false,
            }),
        }
    }
}

impl<T: Clone> Recent<T> {
    /// What a read from `after` on found, if it is remembered.
    pub(crate) fn get(&self, after: u64) -> Option<T> {
        let mut state = self.state.lock();
        state.asked = true;
        let found = state.reads.iter().find(|(known, _)| *known == after);
        found.map(|(_, read)| read.clone())
    }

    /// Remembers a read, in place of the oldest one.
    pub(crate) fn insert(&self, after: u64, read: T) {
        let mut state = self.state.lock();
        if state.reads.iter().any(|(known, _)| *known == after) {
            return;
        }
        if state.reads.len() >= READS {
            state.reads.pop_front();
        }
        state.reads.push_back((after, read));
    }

    /// Forgets everything that nobody has asked for since the last time.
    pub(crate) fn sweep(&self) {
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.asked) {
            state.reads = VecDeque::new();
        }
    }
}
