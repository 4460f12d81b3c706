//! [`Driver`]: the task that keeps a client connected.
//!
//! ```text
//!            ┌─ retry ─┐                       ┌──── backoff ────┐
//!            ▼         │                       ▼                 │
//!  start ─▶ first attempt ─▶ open connection ─▶ lost, goodbye ─▶ attempt
//!            │                    │  ▲                           │ │
//!            │ error              │  └──────── welcome ──────────┘ │ final
//!            ▼                    ▼ closed here                    ▼
//!          closed ◀───────────────┴────────────────────────────────┘
//! ```
//!
//! With a server of the Go library, [`Links`] take the place of the open connection.

use std::sync::Arc;
use std::time::Duration;

use qsse_transport::{Connection, ServerUrl};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::backoff::Backoff;
use crate::core::{Command, Core};
use crate::error::{CloseReason, ConnectError, DisconnectReason, RefreshError};
use crate::state::ConnectionState;

mod connection;
mod control;
mod dial;
mod disconnect;
mod go;
mod hello;
mod requests;
mod streams;
mod trust;

pub(crate) use dial::Endpoints;
use disconnect::{Disconnect, FAREWELL};
use go::Links;
use hello::Opened;
pub(crate) use trust::{Choice, Trust};

/// The task that keeps a client connected, requests its subscriptions from the server, and passes
/// them their streams.
pub(crate) struct Driver {
    pub(crate) core: Arc<Core>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) url: ServerUrl,
    pub(crate) trust: Trust,
    pub(crate) endpoints: Endpoints,
    pub(crate) backoff: Backoff,
    /// Where a server that said goodbye sent its clients. It is tried once.
    pub(crate) moved: Option<ServerUrl>,
    /// The last subscription id used. A client never uses an id twice, also not on another
    /// connection.
    pub(crate) last_id: u32,
    /// Dropped with the task, also if the task never ran.
    pub(crate) _finishing: Finishing,
}

impl Driver {
    /// Runs until the client is closed. The outcome of the first connection goes to `first`.
    pub(crate) async fn run(mut self, first: oneshot::Sender<Result<(), ConnectError>>) {
        let reason = match self.first_connection().await {
            Ok(opened) => {
                // Set first, since the caller may ask as soon as it is connected.
                if matches!(opened, Opened::Go(_)) {
                    self.core.set_speaks_go(true);
                }
                let _ = first.send(Ok(()));
                self.stay_connected(opened).await
            }
            Err(error) => {
                let reason = CloseReason::Failed(error.clone());
                self.core.finish(reason.clone());
                let _ = first.send(Err(error));
                reason
            }
        };
        // Subscriptions can be read to their end before the server is notified.
        self.core.end_subscriptions(reason.clone());
        let _ = timeout(FAREWELL, self.endpoints.wait_idle()).await;
        self.core.finish(reason);
    }

    async fn first_connection(&mut self) -> Result<Opened, ConnectError> {
        let policy = self.core.config.retry;
        let mut left = policy.attempts();
        loop {
            left -= 1;
            let error = match self.attempt().await {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            if left == 0 || !error.is_retryable() {
                return Err(error);
            }
            let (server, delay) = (&self.url, policy.interval);
            tracing::info!(%server, %error, ?delay, "cannot connect, retrying");
            self.pause(policy.interval).await?;
        }
    }

    /// Serves one connection after the other, until there is to be no other.
    async fn stay_connected(&mut self, mut opened: Opened) -> CloseReason {
        loop {
            let began = Instant::now();
            let ended = match opened {
                Opened::Qsse(mut connection) => {
                    connection
                        .run(&self.core, &mut self.commands, &mut self.last_id)
                        .await
                }
                Opened::Go(connection) => self.links(connection).run(&mut self.commands).await,
            };
            let (reason, wait) = match ended {
                Disconnect::Closing => return CloseReason::Local,
                Disconnect::Final(reason) => return reason,
                Disconnect::Lost {
                    reason,
                    wait,
                    moved,
                } => {
                    self.moved = moved;
                    (reason, wait)
                }
            };
            // The backoff continues if connections last only a short time.
            if began.elapsed() >= self.core.config.reconnect.max_delay {
                self.backoff.reset();
            }
            opened = match self.reconnect(reason, wait).await {
                Ok(opened) => opened,
                Err(reason) => return reason,
            };
        }
    }

    async fn reconnect(
        &mut self,
        mut reason: DisconnectReason,
        wait: Option<Duration>,
    ) -> Result<Opened, CloseReason> {
        if !self.core.config.reconnect.enabled {
            return Err(CloseReason::Lost(reason));
        }
        let mut wait = wait.map(|wait| self.backoff.spread(wait));
        let mut attempt = 0;
        loop {
            attempt += 1;
            let delay = wait.take().unwrap_or_else(|| self.backoff.next());
            tracing::info!(server = %self.url, %reason, attempt, ?delay, "reconnecting");
            self.core.set_state(ConnectionState::Reconnecting {
                attempt,
                delay,
                reason,
            });
            self.pause(delay).await.map_err(|_| CloseReason::Local)?;
            let error = match self.attempt().await {
                Ok(opened) => return Ok(opened),
                Err(ConnectError::Closed) => return Err(CloseReason::Local),
                Err(error) => error,
            };
            // An expired token is not final if the source has newer ones.
            let renewed = error.is_expiry() && self.core.token.lock().is_renewed();
            if error.is_final() && !renewed {
                tracing::warn!(server = %self.url, %error, "giving up");
                return Err(CloseReason::Failed(error));
            }
            // The socket may be broken.
            self.endpoints.renew();
            reason = DisconnectReason::Connect(error);
        }
    }

    /// Makes the connections to a server of the Go library, beginning with this one.
    fn links(&mut self, connection: Connection) -> Links {
        let Self {
            core,
            url,
            trust,
            endpoints,
            backoff,
            ..
        } = self;
        Links::new(core, url, trust, endpoints, backoff, connection)
    }

    /// Attempts to connect once. Returns early if the client is closed.
    async fn attempt(&mut self) -> Result<Opened, ConnectError> {
        let core = self.core.clone();
        let url = self.moved.take().unwrap_or_else(|| self.url.clone());
        let Self {
            trust,
            endpoints,
            last_id,
            backoff,
            ..
        } = self;
        // Commands wait. The open connection then handles those that the hello did not cover.
        tokio::select! {
            biased;
            () = core.closing.cancelled() => Err(ConnectError::Closed),
            opened = hello::connect(&core, &url, trust, endpoints, backoff.fork(), last_id) => opened,
        }
    }

    async fn pause(&mut self, delay: Duration) -> Result<(), ConnectError> {
        tokio::select! {
            biased;
            () = self.core.closing.cancelled() => Err(ConnectError::Closed),
            () = skip(&mut self.commands) => Err(ConnectError::Closed),
            () = sleep(delay) => Ok(()),
        }
    }
}

/// Receives commands while there is no connection. The next one begins with the table of
/// subscriptions, so there is nothing else to do.
async fn skip(commands: &mut mpsc::UnboundedReceiver<Command>) {
    while let Some(command) = commands.recv().await {
        skipped(command);
    }
}

/// Answers a command for which there is no connection.
fn skipped(command: Command) {
    if let Command::Refresh { done, .. } = command {
        let _ = done.send(Err(RefreshError::NotConnected));
    }
}

/// Closes the client when the task panics, or is dropped with its runtime.
pub(crate) struct Finishing(pub(crate) Arc<Core>);

impl Drop for Finishing {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        self.0.finish(if panicked {
            CloseReason::Panicked
        } else {
            CloseReason::RuntimeEnded
        });
    }
}
