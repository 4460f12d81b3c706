//! [`Handshake`]: a client that is about to connect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::admission::Ticket;
use super::shard::Shard;
use crate::connection::Connection;
use crate::error::{ConnectionError, HandshakeError};
use crate::socket::canonical;

/// A client that wants to connect and is within the limits. Dropping it refuses the client.
#[derive(Debug)]
pub struct Handshake {
    incoming: quinn::Incoming,
    /// The settings, if they differ from the endpoint's.
    config: Option<Arc<quinn::ServerConfig>>,
    ticket: Ticket,
    /// Resolves when the handshake has to make room for another.
    displaced: oneshot::Receiver<()>,
    deadline: Instant,
    runtime: Handle,
    turns: Arc<Semaphore>,
}

impl Handshake {
    pub(super) fn new(
        incoming: quinn::Incoming,
        config: Option<Arc<quinn::ServerConfig>>,
        (ticket, displaced): (Ticket, oneshot::Receiver<()>),
        timeout: Duration,
        shard: &Shard,
    ) -> Self {
        Self {
            incoming,
            config,
            ticket,
            displaced,
            deadline: Instant::now() + timeout,
            runtime: shard.runtime.clone(),
            turns: Arc::clone(&shard.turns),
        }
    }

    /// Returns the client's address.
    pub fn remote_address(&self) -> SocketAddr {
        canonical(self.incoming.remote_address())
    }

    /// Returns the runtime of the shard that received this client's packets. Work for the client
    /// that runs there wakes no other thread.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Performs the handshake. It takes about half a millisecond of CPU and some round trips.
    ///
    /// Clients take turns at its costly part. Between two turns the runtime runs its other tasks.
    /// So a rush of new clients delays the new ones, not those that are already connected.
    ///
    /// The deadline starts with [`ServerEndpoint::accept`](crate::ServerEndpoint::accept). Dropping
    /// the future ends the attempt.
    ///
    /// # Errors
    /// The client takes too long, speaks none of the server's protocols, or gives up. Or it is
    /// silent and has to make room for another, see
    /// [`TransportConfig::max_incoming`](crate::TransportConfig#structfield.max_incoming).
    pub async fn complete(self) -> Result<Connection, HandshakeError> {
        let Self {
            incoming,
            config,
            mut ticket,
            displaced,
            deadline,
            runtime,
            turns,
        } = self;
        let completed = async {
            let turn = turns.acquire().await;
            let connecting = {
                // The connection's own task stays on its shard, wherever this one runs.
                let _on_its_shard = runtime.enter();
                match config {
                    Some(config) => incoming.accept_with(config),
                    None => incoming.accept(),
                }
                .map_err(to_handshake_error)?
            };
            ticket.begun();
            tokio::task::yield_now().await;
            drop(turn);
            let connection = connecting.await.map_err(to_handshake_error)?;
            ticket.completed();
            Ok(Connection::new(connection))
        };
        let completed = tokio::select! {
            biased;
            completed = tokio::time::timeout_at(deadline, completed) => completed,
            _ = displaced => return Err(HandshakeError::Displaced),
        };
        completed.unwrap_or_else(|_| {
            ticket.timed_out();
            Err(HandshakeError::TimedOut)
        })
    }

    /// Refuses the client.
    pub fn refuse(self) {
        self.incoming.refuse();
    }
}

fn to_handshake_error(error: quinn::ConnectionError) -> HandshakeError {
    match ConnectionError::from_quinn(error) {
        ConnectionError::AlpnMismatch => HandshakeError::AlpnMismatch,
        other => HandshakeError::Connection(other),
    }
}
