//! [`Handshake`]: a client at the door.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::admission::Ticket;
use super::shard::Shard;
use crate::connection::{Connection, canonical};
use crate::error::{ConnectionError, HandshakeError};

/// A client that wants to connect and has been admitted by the limits. Dropped, it is refused.
#[derive(Debug)]
pub struct Handshake {
    incoming: quinn::Incoming,
    /// Unless it is the endpoint's own.
    config: Option<Arc<quinn::ServerConfig>>,
    ticket: Ticket,
    deadline: Instant,
    runtime: Handle,
    turns: Arc<Semaphore>,
}

impl Handshake {
    pub(super) fn new(
        incoming: quinn::Incoming,
        config: Option<Arc<quinn::ServerConfig>>,
        ticket: Ticket,
        timeout: Duration,
        shard: &Shard,
    ) -> Self {
        Self {
            incoming,
            config,
            ticket,
            deadline: Instant::now() + timeout,
            runtime: shard.runtime.clone(),
            turns: Arc::clone(&shard.turns),
        }
    }

    /// The client's address.
    pub fn remote_address(&self) -> SocketAddr {
        canonical(self.incoming.remote_address())
    }

    /// The runtime of the shard that this client came to, where its packets are read: what is done
    /// for it there wakes no other thread.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Does the handshake; takes about half a millisecond of CPU and some round trips.
    ///
    /// Its costly part is done in turn with other clients', and between two of them with everything else that the runtime has to
    /// do, so that a rush of new clients keeps those waiting who come and not those who are there.
    ///
    /// The deadline runs from [`ServerEndpoint::accept`](crate::ServerEndpoint::accept) on.
    /// Dropping the future ends the attempt.
    ///
    /// # Errors
    /// When the client takes too long, speaks no protocol served here, or gives up.
    pub async fn complete(self) -> Result<Connection, HandshakeError> {
        let deadline = self.deadline;
        let completed = tokio::time::timeout_at(deadline, self.complete_in_time()).await;
        completed.map_err(|_| HandshakeError::TimedOut)?
    }

    async fn complete_in_time(mut self) -> Result<Connection, HandshakeError> {
        let turn = self.turns.acquire().await;
        let connecting = {
            // The connection's own task stays on its shard, wherever this one is.
            let _on_its_shard = self.runtime.enter();
            match self.config {
                Some(config) => self.incoming.accept_with(config),
                None => self.incoming.accept(),
            }
            .map_err(to_handshake_error)?
        };
        self.ticket.begun();
        tokio::task::yield_now().await;
        drop(turn);
        let connection = connecting.await.map_err(to_handshake_error)?;
        self.ticket.completed();
        Ok(Connection::new(connection))
    }

    /// Turns the client away.
    pub fn refuse(self) {
        self.incoming.refuse();
    }
}

fn to_handshake_error(error: quinn::ConnectionError) -> HandshakeError {
    match error.into() {
        ConnectionError::AlpnMismatch => HandshakeError::AlpnMismatch,
        other => HandshakeError::Connection(other),
    }
}
