//! [`Keys`]: the keys that a client draws for its publishes.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use qsse_proto::publish::{Key, KeyScope, PublisherId};

/// The keys that a client draws: numbers under an id that no other client has.
#[derive(Debug)]
pub(crate) struct Keys {
    id: PublisherId,
    next: AtomicU64,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self {
            id: random_id(),
            next: AtomicU64::new(0),
        }
    }

    /// Returns the scope of the keys that the client draws.
    pub(super) fn own_scope(&self) -> KeyScope {
        KeyScope::Own { id: self.id }
    }

    /// Returns the scope of the keys that the application gives.
    pub(super) fn named_scope(&self, name: &str) -> KeyScope {
        let (id, name) = (self.id, name.to_owned());
        KeyScope::Named { id, name }
    }

    /// Draws a new key, as short as possible.
    pub(super) fn draw(&self) -> Key {
        let number = self.next.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        let last = number.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        Key::new(Bytes::copy_from_slice(&number[..=last])).expect("a number has 1 to 8 bytes")
    }
}

/// Returns an id that is unique and cannot be guessed.
pub(super) fn random_id() -> PublisherId {
    // Each `RandomState` has its own secret keys.
    let [high, low] = [0, 1].map(|half| u128::from(RandomState::new().hash_one(half)));
    PublisherId::new((high << 64 | low).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_never_the_same() {
        let keys = Keys::new();
        let drawn: Vec<_> = (0..70_000).map(|_| keys.draw()).collect();
        for (number, key) in drawn.iter().enumerate() {
            let mut bytes = [0; 8];
            bytes[..key.as_bytes().len()].copy_from_slice(key.as_bytes());
            assert_eq!(u64::from_le_bytes(bytes), number as u64);
        }
        let lengths = [0, 255, 256, 65_536].map(|at| drawn[at].as_bytes().len());
        assert_eq!(lengths, [1, 1, 2, 3]);
    }

    #[test]
    fn two_clients_have_ids_of_their_own_that_nothing_shows() {
        let (one, two) = (Keys::new(), Keys::new());
        assert_ne!(one.id, two.id);
        let bytes = one.id.as_bytes();
        assert_ne!(bytes[..8], bytes[8..]);
        assert!(format!("{one:?}").contains("PublisherId(..)"));
    }
}
