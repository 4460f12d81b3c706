//! [`Link`]: the connection of one subscription.

use std::sync::Arc;

use qsse_proto::go::Offer;
use qsse_proto::{Code, GO_ALPN};
use qsse_transport::{Connection, ConnectionError, ServerUrl, WriteError};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, timeout};

use super::board::Board;
use crate::backoff::Backoff;
use crate::core::Core;
use crate::driver::dial::{Endpoints, Heard, dial};
use crate::driver::ending::ended_stream;
use crate::driver::hello::set_up;
use crate::driver::trust::Trust;
use crate::error::ConnectError;
use crate::notice::Loss;
use crate::state::{CloseReason, ConnectionState, DisconnectReason};
use crate::subscription::coming::Source;
use crate::subscription::slot::Slot;

/// The connection of one subscription, made again as often as it is lost.
pub(super) struct Link {
    pub(super) core: Arc<Core>,
    pub(super) slot: Arc<Slot>,
    pub(super) board: Arc<Board>,
    pub(super) url: ServerUrl,
    pub(super) trust: Trust,
    /// Its own, so that new sockets for a lost link leave the others alone.
    pub(super) endpoints: Endpoints,
    pub(super) backoff: Backoff,
    /// The connections so far.
    pub(super) number: u32,
    /// What the subscription is to be told once it is connected.
    pub(super) loss: Option<Loss>,
}

/// Why there will be no further connection.
pub(super) enum Over {
    /// Nobody wants it.
    Unsubscribed,
    /// The server speaks something else now.
    OtherDialect,
    Final(CloseReason),
}

impl Link {
    /// Runs until `orders` end or there is to be no further connection.
    pub(super) async fn run(
        mut self,
        mut orders: UnboundedReceiver<u32>,
        spare: Option<Connection>,
    ) -> (u64, Over, Endpoints) {
        let over = self.stay_connected(&mut orders, spare).await;
        (self.slot.key, over, self.endpoints)
    }

    async fn stay_connected(
        &mut self,
        orders: &mut UnboundedReceiver<u32>,
        mut spare: Option<Connection>,
    ) -> Over {
        let mut lost = None;
        loop {
            let connection = match self.connect(orders, spare.take(), lost).await {
                Ok(connection) => connection,
                Err(over) => return over,
            };
            let began = Instant::now();
            let reason = match self.serve(orders, &connection).await {
                Ok(reason) => reason,
                Err(over) => return over,
            };
            // A server that lets clients in only to lose them is not to be hammered.
            if began.elapsed() >= self.core.config.reconnect.max_delay {
                self.backoff.reset();
            }
            self.loss = Some(Loss::Reconnected(reason.clone()));
            lost = Some(reason);
        }
    }

    /// Connects and writes the offer, again and again. What was `lost` is waited for first.
    async fn connect(
        &mut self,
        orders: &mut UnboundedReceiver<u32>,
        mut spare: Option<Connection>,
        mut lost: Option<DisconnectReason>,
    ) -> Result<Connection, Over> {
        let mut attempt = 0;
        loop {
            if let Some(reason) = lost.take() {
                if !self.core.config.reconnect.enabled {
                    return Err(Over::Final(CloseReason::Lost(reason)));
                }
                attempt += 1;
                let delay = self.backoff.next();
                tracing::info!(server = %self.url, filter = %self.slot.filter, %reason, attempt, ?delay, "reconnecting");
                let state = ConnectionState::Reconnecting {
                    attempt,
                    delay,
                    reason,
                };
                self.board.reconnecting(self.slot.key, state);
                wanted(orders, sleep(delay)).await?;
            }
            let error = match wanted(orders, self.attempt(spare.take())).await? {
                Ok(Some(connection)) => return Ok(connection),
                Ok(None) => return Err(Over::OtherDialect),
                Err(error) if error.is_final() => {
                    return Err(Over::Final(CloseReason::Failed(error)));
                }
                Err(error) => error,
            };
            // The socket may be what is broken.
            self.endpoints.renew();
            lost = Some(DisconnectReason::Connect(error));
        }
    }

    /// One attempt, within its deadline; `None` if the server speaks something else.
    async fn attempt(
        &mut self,
        spare: Option<Connection>,
    ) -> Result<Option<Connection>, ConnectError> {
        // Before the deadline begins: where a token comes from may be far.
        let source = self.core.token.lock().clone();
        let token = source.get().await?;
        let (tls, transport) = set_up(&self.core, &self.url, &mut self.trust)?;
        let token = token.as_ref().map_or("", |token| token.expose());
        let offer = Offer::new(token, self.slot.offered()).to_line();
        let after = self.core.config.connect_timeout;
        let mut heard = Heard::default();
        let attempt = async {
            let connection = match spare {
                Some(spare) => spare,
                None => dial(&mut self.endpoints, &self.url, &tls, &transport, &mut heard).await?,
            };
            if connection.alpn() != GO_ALPN {
                connection.close(Code::NO_ERROR, "");
                return Ok(None);
            }
            write(&connection, offer).await?;
            Ok(Some(connection))
        };
        let result = timeout(after, attempt).await;
        result
            .unwrap_or_else(|_| Err(heard.by_deadline(&self.url, after)))
            .map_err(|error| error.with_dialect(self.core.config.dialect))
    }

    /// Hands the server's stream to the subscription, and waits until the connection ends.
    async fn serve(
        &mut self,
        orders: &mut UnboundedReceiver<u32>,
        connection: &Connection,
    ) -> Result<DisconnectReason, Over> {
        self.number = self.number.wrapping_add(1);
        self.slot.confirm_offer();
        if let Some(loss) = self.loss.take() {
            self.slot.tell_lost(loss);
        }
        self.board.standing(self.slot.key, connection);
        tracing::debug!(filter = %self.slot.filter, number = self.number, "offered");
        let mut streaming = false;
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(number) if number == self.number => {
                        return lost(ended_stream(connection), streaming);
                    }
                    // Of a connection before this one.
                    Some(_) => {}
                    None => {
                        connection.close(Code::NO_ERROR, "");
                        return Err(Over::Unsubscribed);
                    }
                },
                // The server opens it with the first event, perhaps in a year.
                stream = connection.accept_uni() => match stream {
                    Ok(stream) if !streaming => {
                        streaming = true;
                        self.slot.offer(Source::Lines { link: self.number, stream });
                    }
                    Ok(mut further) => further.stop(Code::PROTOCOL_VIOLATION),
                    Err(error) => return lost(DisconnectReason::Lost(error), streaming),
                },
            }
        }
    }
}

/// Writes the one line that a client says.
async fn write(connection: &Connection, offer: Vec<u8>) -> Result<(), ConnectError> {
    let stream = connection.open_uni().await;
    let mut stream = stream.map_err(ConnectError::before_welcome)?;
    match stream.write_all(&mut [offer.into()]).await {
        Ok(()) => {
            stream.finish();
            Ok(())
        }
        Err(WriteError::Stopped(code)) => Err(ConnectError::closed(code, String::new())),
        Err(WriteError::Connection(error)) => Err(ConnectError::before_welcome(error)),
        Err(_) => Err(ConnectError::before_welcome(ConnectionError::LocallyClosed)),
    }
}

/// What follows from the end of a connection: another one, unless token or offer are refused.
fn lost(reason: DisconnectReason, streaming: bool) -> Result<DisconnectReason, Over> {
    match reason {
        DisconnectReason::Lost(ConnectionError::Closed {
            code,
            reason: message,
        }) if code == Code::NOT_AUTHORISED || (!streaming && is_refusal(code)) => {
            let refused = ConnectError::closed(code, message);
            Err(Over::Final(CloseReason::Failed(refused)))
        }
        reason => Ok(reason),
    }
}

/// Whether a server that closes with this code before its stream would do so again: the same offer would be written for ever.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::TOKEN_EXPIRED | Code::PROTOCOL_VIOLATION | Code::FRAME_TOO_LARGE | Code::UNSUPPORTED
    )
}

/// Awaits `work` unless the subscription is dropped meanwhile.
async fn wanted<T>(
    orders: &mut UnboundedReceiver<u32>,
    work: impl Future<Output = T>,
) -> Result<T, Over> {
    let dropped = async {
        // Orders are about connections that are gone.
        while orders.recv().await.is_some() {}
    };
    tokio::select! {
        biased;
        () = dropped => Err(Over::Unsubscribed),
        done = work => Ok(done),
    }
}
