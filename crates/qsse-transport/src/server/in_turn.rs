//! [`InTurn`]: the order in which shards are accepted from.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

/// Lets each shard be first in turn, so that a rush of clients at one shard does not delay the
/// others.
#[derive(Debug, Default)]
pub(super) struct InTurn(AtomicUsize);

/// One turn, which names the shard to poll first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn(usize);

impl InTurn {
    /// Starts the turn of the next shard.
    pub(super) fn next(&self) -> Turn {
        Turn(self.0.fetch_add(1, Relaxed))
    }
}

impl Turn {
    /// Polls `count` shards by index, starting with the one whose turn it is. Stops at the first
    /// that is ready.
    pub(super) fn poll<T>(
        self,
        count: usize,
        mut poll: impl FnMut(usize) -> Poll<T>,
    ) -> Poll<(usize, T)> {
        for step in 0..count {
            let at = (self.0 % count + step) % count;
            if let Poll::Ready(ready) = poll(at) {
                return Poll::Ready((at, ready));
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the shard that each of these turns accepts from, when the `busy` shards have
    /// clients.
    fn accepted(turns: usize, busy: &[bool]) -> Vec<Option<usize>> {
        let in_turn = InTurn::default();
        let accept = |_| {
            let ready = in_turn.next().poll(busy.len(), |at| match busy[at] {
                true => Poll::Ready(()),
                false => Poll::Pending,
            });
            match ready {
                Poll::Ready((at, ())) => Some(at),
                Poll::Pending => None,
            }
        };
        (0..turns).map(accept).collect()
    }

    #[test]
    fn busy_shards_are_accepted_from_in_turn() {
        let in_turn = [0, 1, 2, 0, 1].map(Some);
        assert_eq!(accepted(5, &[true, true, true]), in_turn);
        assert_eq!(accepted(3, &[true]), [Some(0); 3]);
    }

    #[test]
    fn an_idle_shard_leaves_its_turn_to_the_next() {
        let others = [1, 1, 3, 3, 1].map(Some);
        assert_eq!(accepted(5, &[false, true, false, true]), others);
    }

    #[test]
    fn every_idle_shard_is_polled_so_that_it_can_wake_the_acceptor() {
        // The last turn before the counter wraps around.
        let in_turn = InTurn(AtomicUsize::new(usize::MAX));
        for _ in 0..2 {
            let mut polled = Vec::new();
            let ready = in_turn.next().poll(3, |at| {
                polled.push(at);
                Poll::<()>::Pending
            });
            assert!(ready.is_pending());
            assert_eq!(polled, [0, 1, 2]);
        }
    }
}
