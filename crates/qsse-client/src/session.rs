//! [`Session`]: an open connection, as publishers see it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use qsse_proto::Epoch;
use qsse_proto::control::Welcome;
use qsse_proto::publish::KeyScope;
use qsse_transport::Connection;

use crate::core::Core;
use crate::publish::{Left, Pipe};
use crate::state::DisconnectReason;

/// An open connection on which the server has let the client in, as publishers see it.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) epoch: Epoch,
    /// Whom the server takes the client for.
    pub(crate) identity: u64,
    pub(crate) max_event_bytes: usize,
    /// How long the server knows the key of a publish; zero if not at all.
    pub(crate) dedup_window: Duration,
    /// How long the server knows the last number of a publisher; zero if not at all.
    pub(crate) publisher_window: Duration,
    /// The server has said goodbye, or the connection has ended: nothing new is begun.
    over: AtomicBool,
    /// Why the connection ended, as the driver saw it.
    lost: OnceLock<DisconnectReason>,
    pipes: Mutex<Pipes>,
}

/// The publishing streams of a connection.
#[derive(Default)]
struct Pipes {
    /// Those that all single publishes share, one for each scope of keys; made by the first.
    shared: Vec<Arc<Pipe>>,
    all: Vec<Weak<Pipe>>,
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
            pipes: Mutex::default(),
        }
    }

    /// Whether a new publish has no place on this connection.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// The server leaves, or a publishing stream has found the connection broken.
    pub(crate) fn set_over(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// The connection has ended.
    pub(crate) fn set_lost(&self, reason: DisconnectReason) {
        let _ = self.lost.set(reason);
        self.set_over();
    }

    /// Why the connection ended, as far as is known.
    pub(crate) fn lost(&self) -> DisconnectReason {
        let known = self.lost.get().cloned();
        known.unwrap_or_else(|| {
            let error = self.connection.close_reason();
            DisconnectReason::Lost(error.unwrap_or(qsse_transport::ConnectionError::LocallyClosed))
        })
    }

    /// Whether the server knows what it took by its key.
    pub(crate) fn knows_keys(&self) -> bool {
        !self.dedup_window.is_zero()
    }

    /// Whether the server knows what it took by its number.
    pub(crate) fn knows_numbers(&self) -> bool {
        !self.publisher_window.is_zero()
    }

    /// The stream that all single publishes of a scope of keys share.
    pub(crate) fn shared_pipe(self: &Arc<Self>, core: &Arc<Core>, scope: &KeyScope) -> Arc<Pipe> {
        let mut pipes = self.pipes.lock();
        let known = pipes.shared.iter().find(|pipe| pipe.scope() == scope);
        if let Some(pipe) = known.filter(|pipe| pipe.is_open()) {
            return pipe.clone();
        }
        let pipe = Pipe::shared(core, self, scope.clone());
        pipes.add(&pipe);
        pipes.shared.retain(|pipe| pipe.scope() != scope);
        pipes.shared.push(pipe.clone());
        pipe
    }

    /// A stream of its own, in which the order is kept, and which begins with what another one `left`.
    pub(crate) fn ordered_pipe(self: &Arc<Self>, core: &Arc<Core>, left: Left) -> Arc<Pipe> {
        let pipe = Pipe::ordered(core, self, left);
        self.pipes.lock().add(&pipe);
        pipe
    }

    /// A pipe has ended: without this, it and the session would keep each other.
    pub(crate) fn forget(&self, pipe: &Pipe) {
        let mut pipes = self.pipes.lock();
        pipes.shared.retain(|shared| !std::ptr::eq(&**shared, pipe));
        pipes
            .all
            .retain(|other| !std::ptr::eq(other.as_ptr(), pipe));
    }

    /// Ends the publishing streams; what was pushed is still written.
    pub(crate) fn finish_publishing(&self) {
        let all: Vec<_> = self
            .pipes
            .lock()
            .all
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        all.iter().for_each(|pipe| pipe.finish());
    }

    /// Waits until everything published so far has been answered, or waits for the next connection.
    pub(crate) async fn drained(&self) {
        let all: Vec<_> = self
            .pipes
            .lock()
            .all
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for pipe in all {
            pipe.quiet().await;
        }
    }
}

impl Pipes {
    fn add(&mut self, pipe: &Arc<Pipe>) {
        self.all.retain(|pipe| pipe.strong_count() > 0);
        self.all.push(Arc::downgrade(pipe));
    }
}
