//! Under which keys a client publishes on its own account, and what it remembers so that it can try again.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use qsse_proto::Epoch;
use qsse_proto::publish::{Key, KeyScope, PublisherId, Retry};
use tokio::time::Instant;

use crate::core::Core;
use crate::error::{PublishError, UnknownOutcome};
use crate::session::Session;

/// The keys of one client's own: numbers under an id that no other client has.
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

    /// As whom the client publishes under keys that it draws.
    pub(crate) fn own(&self) -> KeyScope {
        KeyScope::Own { id: self.id }
    }

    /// As whom the client publishes under keys of the application.
    pub(crate) fn named(&self, name: &str) -> KeyScope {
        let (id, name) = (self.id, name.to_owned());
        KeyScope::Named { id, name }
    }

    /// A key that was not given out before, as short as it can be.
    pub(super) fn draw(&self) -> Key {
        let number = self.next.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        let last = number.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        Key::new(Bytes::copy_from_slice(&number[..=last])).expect("a number has 1 to 8 bytes")
    }
}

/// An id that nobody else has, nor can guess.
pub(super) fn random_id() -> PublisherId {
    // Every `RandomState` has keys of its own, which nobody sees.
    let [high, low] = [0, 1].map(|half| u128::from(RandomState::new().hash_one(half)));
    PublisherId::new((high << 64 | low).to_le_bytes())
}

/// When, for which log and as whom, a publish was first on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    epoch: Epoch,
    identity: u64,
    at: Instant,
    /// How long the server knows the key of a publish, and the publisher of one with a number.
    windows: [Duration; 2],
}

impl First {
    /// Now, over this connection.
    pub(super) fn now(session: &Session) -> Self {
        Self {
            epoch: session.epoch,
            identity: session.identity,
            at: Instant::now(),
            windows: [session.dedup_window, session.publisher_window],
        }
    }

    /// Whether the server would take the same key for another one over this connection (`QP-8.15`).
    pub(super) fn is_somebody_else(&self, session: &Session) -> bool {
        self.identity != session.identity
    }

    /// The mark of a further attempt that is made now.
    pub(super) fn mark(&self) -> Retry {
        let ago = self.at.elapsed().as_millis();
        let ago_ms = u64::try_from(ago).unwrap_or(u64::MAX).saturating_add(1);
        Retry {
            epoch: self.epoch,
            ago_ms,
        }
    }
}

/// The connection to publish over; with `first`, one over which that can be tried again: it has a number, or else a key.
pub(super) async fn connected(
    core: &Arc<Core>,
    first: Option<First>,
    numbered: bool,
) -> Result<Arc<Session>, PublishError> {
    let Some(first) = first else {
        return core.connected().await;
    };
    // Half of the server's window, so that the server still knows what it took.
    let until = first.windows[usize::from(numbered)] / 2;
    let left = until.saturating_sub(first.at.elapsed());
    let too_late = || PublishError::outcome_unknown(UnknownOutcome::TooLate);
    if left.is_zero() {
        return Err(too_late());
    }
    let wait = core.config.publish_wait.min(left);
    let session = match core.connected_within(wait).await {
        Err(PublishError::NotConnected { .. }) if wait == left => return Err(too_late()),
        found => found.map_err(unknown)?,
    };
    // Whether that log goes on in this one only the server knows.
    Ok(session)
}

/// What an error means for a publish that may have been taken before.
pub(super) fn unknown(error: PublishError) -> PublishError {
    let why = match error {
        PublishError::Refused { code, message } => UnknownOutcome::Refused { code, message },
        PublishError::NotConnected { waited } => UnknownOutcome::NotConnected { waited },
        PublishError::Closed(reason) => UnknownOutcome::Closed(reason),
        // The server speaks another protocol now.
        PublishError::Unsupported => UnknownOutcome::OtherLog,
        PublishError::NoStream | PublishError::TooLarge { .. } => UnknownOutcome::NotSent,
        // These say so themselves.
        error => return error,
    };
    PublishError::outcome_unknown(why)
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
