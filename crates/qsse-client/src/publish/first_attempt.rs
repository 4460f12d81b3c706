//! [`FirstAttempt`]: what a retry has to know about the first attempt of a publish.

use std::time::Duration;

use qsse_proto::Epoch;
use qsse_proto::publish::Retry;
use tokio::time::Instant;

use crate::session::Session;

/// When a publish was first sent, to which log and as which principal.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstAttempt {
    epoch: Epoch,
    identity: u64,
    at: Instant,
    dedup_window: Duration,
    publisher_window: Duration,
}

impl FirstAttempt {
    /// Returns an attempt that is made now, over this connection.
    pub(super) fn now(session: &Session) -> Self {
        Self {
            epoch: session.epoch,
            identity: session.identity,
            at: Instant::now(),
            dedup_window: session.dedup_window,
            publisher_window: session.publisher_window,
        }
    }

    /// Returns whether the server would attribute the same key to another principal over this
    /// connection (`QP-8.15`).
    pub(super) fn is_other_principal(&self, session: &Session) -> bool {
        self.identity != session.identity
    }

    /// Returns how the server is told of a retry that is sent now.
    pub(super) fn retry(&self) -> Retry {
        let ago = self.at.elapsed().as_millis();
        let ago_ms = u64::try_from(ago).unwrap_or(u64::MAX).saturating_add(1);
        Retry {
            epoch: self.epoch,
            ago_ms,
        }
    }

    /// Returns for how long the publish may still be retried: `numbered`, by its number, otherwise
    /// by its key.
    pub(super) fn time_left(&self, numbered: bool) -> Duration {
        let window = match numbered {
            true => self.publisher_window,
            false => self.dedup_window,
        };
        // Half of the server's window, so that the server still remembers the first attempt.
        (window / 2).saturating_sub(self.at.elapsed())
    }
}
