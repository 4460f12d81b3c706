//! [`Waiters`]: the readers that wait for a feed's next event.

use std::task::Waker;

use slab::Slab;

/// The tasks of readers that wait for one thing, and are all woken by it.
///
/// Belongs under the lock of what they wait for: to look and to register is one step then.
#[derive(Default)]
pub(crate) struct Waiters {
    wakers: Slab<Waker>,
    /// How often they were woken.
    round: u64,
}

/// A reader's place among them. It is worth nothing once they were woken.
#[derive(Clone, Copy, Default)]
pub(crate) struct WaiterKey {
    round: u64,
    key: usize,
}

impl Waiters {
    /// Has `waker` woken; it takes the place of the one that was registered there before, which is returned.
    ///
    /// To drop a waker may be to drop its task, and with that a reader: not under the lock.
    pub(crate) fn register(
        &mut self,
        place: &mut Option<WaiterKey>,
        waker: &Waker,
    ) -> Option<Waker> {
        match place.and_then(|place| self.at(place)) {
            Some(known) if known.will_wake(waker) => None,
            Some(known) => Some(std::mem::replace(known, waker.clone())),
            None => {
                if self.wakers.capacity() == 0 {
                    // Most feeds of many have one reader each.
                    self.wakers = Slab::with_capacity(1);
                }
                let (round, key) = (self.round, self.wakers.insert(waker.clone()));
                *place = Some(WaiterKey { round, key });
                None
            }
        }
    }

    /// Whoever had this place waits no more. Returns its waker, to be dropped when the lock is free.
    pub(crate) fn leave(&mut self, place: WaiterKey) -> Option<Waker> {
        self.at(place)
            .is_some()
            .then(|| self.wakers.remove(place.key))
    }

    /// Takes all, to be woken when the lock is free.
    pub(crate) fn take(&mut self) -> Vec<Waker> {
        if self.wakers.is_empty() {
            return Vec::new();
        }
        self.round += 1;
        self.wakers.drain().collect()
    }

    fn at(&mut self, place: WaiterKey) -> Option<&mut Waker> {
        (place.round == self.round)
            .then(|| self.wakers.get_mut(place.key))
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
        // It has the same number in another round.
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
