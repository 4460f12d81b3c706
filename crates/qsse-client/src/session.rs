//! [`Session`]: a connection on which the server has accepted the client.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use qsse_proto::Epoch;
use qsse_proto::control::Welcome;
use qsse_transport::{Connection, ConnectionError};

use crate::error::{DisconnectReason, PublishError};

/// A connection on which the server has accepted the client, as publishers see it.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) epoch: Epoch,
    /// The number by which the server names the client's principal.
    pub(crate) identity: u64,
    pub(crate) max_event_bytes: usize,
    /// How long the server remembers the key of a publish; zero if it does not.
    pub(crate) dedup_window: Duration,
    /// How long the server remembers the last number of a publisher; zero if it does not.
    pub(crate) publisher_window: Duration,
    /// Set when nothing new may begin: the server said goodbye, or the connection has ended.
    over: AtomicBool,
    /// Why the connection ended, according to the driver.
    lost: OnceLock<DisconnectReason>,
}

impl Session {
    pub(crate) fn new(connection: Connection, welcome: &Welcome) -> Self {
        let millis = match welcome.dedup_keys {
            0 => 0,
            _ => welcome.dedup_window_ms,
        };
        let publisher_millis = match welcome.publishers {
            0 => 0,
            _ => welcome.publisher_window_ms,
        };
        Self {
            connection,
            epoch: welcome.epoch,
            identity: welcome.identity,
            max_event_bytes: welcome.max_event_bytes as usize,
            dedup_window: Duration::from_millis(millis.into()),
            publisher_window: Duration::from_millis(publisher_millis.into()),
            over: AtomicBool::new(false),
            lost: OnceLock::new(),
        }
    }

    /// Returns whether nothing new may be published over this connection.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Records that the server leaves, or that a publishing stream found the connection broken.
    pub(crate) fn set_over(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Records that the connection has ended.
    pub(crate) fn set_lost(&self, reason: DisconnectReason) {
        let _ = self.lost.set(reason);
        self.set_over();
    }

    /// Returns why the connection ended, as far as is known.
    pub(crate) fn lost(&self) -> DisconnectReason {
        let known = self.lost.get().cloned();
        known.unwrap_or_else(|| {
            let error = self.connection.close_reason();
            DisconnectReason::Lost(error.unwrap_or(ConnectionError::LocallyClosed))
        })
    }

    /// Returns whether the server recognises a repeated publish by its key.
    pub(crate) fn knows_keys(&self) -> bool {
        !self.dedup_window.is_zero()
    }

    /// Returns whether the server recognises a repeated publish by its number.
    pub(crate) fn knows_numbers(&self) -> bool {
        !self.publisher_window.is_zero()
    }

    /// Refuses here what the server would refuse.
    pub(crate) fn check_size(&self, bytes: usize) -> Result<(), PublishError> {
        let limit = self.max_event_bytes;
        if bytes > limit {
            Err(PublishError::TooLarge { bytes, limit })
        } else {
            Ok(())
        }
    }
}
