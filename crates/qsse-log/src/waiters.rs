//! [`Waiters`]: the readers that wait for a feed's next event.

use std::task::Waker;

use slab::Slab;

/// The wakers of readers that wait for the same thing, and are all woken by it.
///
/// They are under the lock of the thing itself, so that checking for it and registering is one
/// step.
#[derive(Default)]
pub(crate) struct Waiters {
    wakers: Slab<Waker>,
    /// How often all were woken.
    round: u64,
}

/// The entry of a reader. It is invalid after all were woken.
#[derive(Clone, Copy, Default)]
pub(crate) struct WaiterKey {
    round: u64,
    number: usize,
}

impl Waiters {
    /// Registers `waker`. It replaces the reader's earlier one, which is returned.
    ///
    /// Dropping a waker may drop its task, and with it a reader, so do not drop it under the lock.
    pub(crate) fn register(&mut self, key: &mut Option<WaiterKey>, waker: &Waker) -> Option<Waker> {
        match key.and_then(|key| self.at(key)) {
            Some(known) if known.will_wake(waker) => None,
            Some(known) => Some(std::mem::replace(known, waker.clone())),
            None => {
                if self.wakers.capacity() == 0 {
                    // Most feeds have one reader.
                    self.wakers = Slab::with_capacity(1);
                }
                let (round, number) = (self.round, self.wakers.insert(waker.clone()));
                *key = Some(WaiterKey { round, number });
                None
            }
        }
    }

    /// Removes a reader. Returns its waker, to be dropped after the lock.
    pub(crate) fn leave(&mut self, key: WaiterKey) -> Option<Waker> {
        self.at(key)
            .is_some()
            .then(|| self.wakers.remove(key.number))
    }

    /// Takes all wakers, to be woken after the lock.
    pub(crate) fn take(&mut self) -> Vec<Waker> {
        if self.wakers.is_empty() {
            return Vec::new();
        }
        self.round += 1;
        self.wakers.drain().collect()
    }

    fn at(&mut self, key: WaiterKey) -> Option<&mut Waker> {
        (key.round == self.round)
            .then(|| self.wakers.get_mut(key.number))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Counter {
        fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_place_is_woken_once_with_the_last_waker() {
        let (mut waiters, mut place) = (Waiters::default(), None);
        let (first, second) = (Arc::<Counter>::default(), Arc::<Counter>::default());
        waiters.register(&mut place, &Arc::clone(&first).into());
        waiters.register(&mut place, &Arc::clone(&second).into());
        for _ in 0..2 {
            waiters.take().into_iter().for_each(Waker::wake);
            assert_eq!((first.count(), second.count()), (0, 1));
        }
    }

    #[test]
    fn an_old_place_is_nobody_elses() {
        let mut waiters = Waiters::default();
        let (mut gone, mut there) = (None, None);
        let counter = Arc::<Counter>::default();
        waiters.register(&mut gone, Waker::noop());
        waiters.take();
        waiters.register(&mut there, &Arc::clone(&counter).into());
        // This key has the same number, but is of an earlier round.
        waiters.leave(gone.unwrap());
        waiters.register(&mut gone, Waker::noop());
        assert_eq!(waiters.take().len(), 2);
    }

    #[test]
    fn who_leaves_is_not_woken_and_leaves_no_room_behind() {
        let mut waiters = Waiters::default();
        for _ in 0..1000 {
            let mut place = None;
            waiters.register(&mut place, Waker::noop());
            waiters.leave(place.unwrap());
            waiters.leave(place.unwrap());
        }
        assert!(waiters.wakers.capacity() < 10);
        assert!(waiters.take().is_empty());
    }
}
