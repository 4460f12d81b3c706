//! [`Session`]: an open connection, as publishers see it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use qsse_proto::Epoch;
use qsse_transport::Connection;

use crate::DisconnectReason;
use crate::core::Core;
use crate::publish::Pipe;

/// An open connection on which the server has let the client in, as publishers see it.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) epoch: Epoch,
    pub(crate) max_event_bytes: usize,
    /// The server has said goodbye, or the connection has ended: nothing new is begun.
    over: AtomicBool,
    /// Why the connection ended, as the driver saw it.
    lost: OnceLock<DisconnectReason>,
    pipes: Mutex<Pipes>,
}

/// The publishing streams of a connection.
#[derive(Default)]
struct Pipes {
    /// The one that all single publishes share; made by the first.
    shared: Option<Arc<Pipe>>,
    all: Vec<Weak<Pipe>>,
}

impl Session {
    pub(crate) fn new(connection: Connection, epoch: Epoch, max_event_bytes: usize) -> Self {
        Self {
            connection,
            epoch,
            max_event_bytes,
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

    /// The stream that all single publishes share.
    pub(crate) fn shared_pipe(self: &Arc<Self>, core: &Arc<Core>) -> Arc<Pipe> {
        let mut pipes = self.pipes.lock();
        if let Some(pipe) = pipes.shared.as_ref().filter(|pipe| pipe.is_open()) {
            return pipe.clone();
        }
        let pipe = Pipe::open(core, self, false);
        pipes.add(&pipe);
        pipes.shared = Some(pipe.clone());
        pipe
    }

    /// A stream of its own, in which the order is kept.
    pub(crate) fn ordered_pipe(self: &Arc<Self>, core: &Arc<Core>) -> Arc<Pipe> {
        let pipe = Pipe::open(core, self, true);
        self.pipes.lock().add(&pipe);
        pipe
    }

    /// A pipe has ended: without this, it and the session would keep each other.
    pub(crate) fn forget(&self, pipe: &Pipe) {
        let mut pipes = self.pipes.lock();
        if pipes
            .shared
            .as_ref()
            .is_some_and(|shared| std::ptr::eq(&**shared, pipe))
        {
            pipes.shared = None;
        }
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

    /// Waits until everything published so far has been answered.
    pub(crate) async fn drained(&self) {
        let all: Vec<_> = self
            .pipes
            .lock()
            .all
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for pipe in all {
            pipe.drained().await;
        }
    }
}

impl Pipes {
    fn add(&mut self, pipe: &Arc<Pipe>) {
        self.all.retain(|pipe| pipe.strong_count() > 0);
        self.all.push(Arc::downgrade(pipe));
    }
}
