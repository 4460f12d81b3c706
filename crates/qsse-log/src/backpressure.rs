//! [`Backpressure`]: a publisher may wait until all readers that keep up have taken its events.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

/// How far one reader is.
#[derive(Default)]
pub(crate) struct ReaderProgress {
    taken: AtomicU64,
    lagging: AtomicBool,
}

impl ReaderProgress {
    /// Records that everything up to `position` was handed out and handled.
    pub(crate) fn set(&self, position: u64, lagging: bool) {
        self.taken.store(position, Ordering::Release);
        self.lagging.store(lagging, Ordering::Release);
    }
}

/// The progress of all readers of one feed.
#[derive(Default)]
pub(crate) struct ReaderProgresses {
    all: Mutex<Vec<Weak<ReaderProgress>>>,
}

impl ReaderProgresses {
    pub(crate) fn add(&self) -> Arc<ReaderProgress> {
        let progress = Arc::new(ReaderProgress::default());
        let mut all = self.all.lock();
        if all.len() == all.capacity() {
            all.retain(|reader| reader.strong_count() > 0);
        }
        all.push(Arc::downgrade(&progress));
        progress
    }

    /// Returns the lowest position of the readers that keep up and have not fallen below `floor`;
    /// `None` if there is no such reader.
    pub(crate) fn slowest(&self, floor: u64) -> Option<u64> {
        let all = self.all.lock();
        let readers = all.iter().filter_map(Weak::upgrade);
        let live = readers.filter(|reader| !reader.lagging.load(Ordering::Acquire));
        let taken = live.map(|reader| reader.taken.load(Ordering::Acquire));
        taken.filter(|taken| *taken >= floor).min()
    }
}

/// Wakes publishers that wait for readers, and costs nothing while none waits.
#[derive(Default)]
pub(crate) struct Backpressure {
    waiting: AtomicBool,
    moved: Notify,
}

impl Backpressure {
    /// Reports that a reader has moved.
    pub(crate) fn moved(&self) {
        // Between the reader's progress and the flag: either this side or the other sees the
        // change.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) && self.waiting.swap(false, Ordering::AcqRel) {
            self.moved.notify_waiters();
        }
    }

    /// Waits until `done` returns true. It is called again whenever a reader has moved.
    ///
    /// Cancel-safe.
    pub(crate) async fn until(&self, done: impl Fn() -> bool) {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            self.waiting.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if done() {
                return;
            }
            moved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_is_the_one_furthest_behind_that_keeps_up() {
        let readers = ReaderProgresses::default();
        assert_eq!(readers.slowest(0), None);
        let all = [3, 5, 8].map(|position| {
            let progress = readers.add();
            progress.set(position, false);
            progress
        });
        assert_eq!(readers.slowest(0), Some(3));
        assert_eq!((readers.slowest(3), readers.slowest(4)), (Some(3), Some(5)));
        all[1].set(5, true);
        assert_eq!(readers.slowest(4), Some(8));
        drop(all);
        assert_eq!(readers.slowest(0), None);
    }

    #[test]
    fn readers_that_are_gone_leave_no_memory_and_no_other_reader_out() {
        let readers = ReaderProgresses::default();
        let stays = readers.add();
        stays.set(7, false);
        for _ in 0..1_000 {
            readers.add();
        }
        assert_eq!(readers.slowest(1), Some(7));
        assert!(readers.all.lock().capacity() < 32);
    }
}
