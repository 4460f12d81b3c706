//! [`Link`]: the connection of one subscription.

use std::sync::Arc;

use qsse_proto::go::Offer;
use qsse_proto::{Code, GO_ALPN};
use qsse_transport::{Connection, ConnectionError, ServerUrl, WriteError};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, timeout};

use super::link_states::LinkStates;
use crate::backoff::Backoff;
use crate::core::Core;
use crate::driver::dial::{Endpoints, Failures, dial};
use crate::driver::disconnect::go_stream_ended;
use crate::driver::hello::set_up;
use crate::driver::trust::Trust;
use crate::error::{CloseReason, ConnectError, DisconnectReason};
use crate::notice::Loss;
use crate::slot::{NewStream, Slot};
use crate::state::ConnectionState;

/// The connection of one subscription, which is restored whenever it is lost.
pub(super) struct Link {
    pub(super) core: Arc<Core>,
    pub(super) slot: Arc<Slot>,
    pub(super) states: Arc<LinkStates>,
    pub(super) url: ServerUrl,
    pub(super) trust: Trust,
    /// Its own, so that new sockets for a lost link do not affect other links.
    pub(super) endpoints: Endpoints,
    pub(super) backoff: Backoff,
    /// How many connections there were so far.
    pub(super) number: u32,
    /// What to report to the subscription once it is connected.
    pub(super) loss: Option<Loss>,
}

/// Why a link makes no further connection.
pub(super) enum LinkEnd {
    /// The subscription was dropped.
    Unsubscribed,
    /// The server speaks another dialect now.
    OtherDialect,
    Final(CloseReason),
}

impl Link {
    /// Runs until `ended_streams` is closed, or there is to be no further connection.
    ///
    /// `ended_streams` gets the numbers of the connections whose streams were read to their end.
    pub(super) async fn run(
        mut self,
        mut ended_streams: UnboundedReceiver<u32>,
        spare: Option<Connection>,
    ) -> (u64, LinkEnd, Endpoints) {
        let end = self.stay_connected(&mut ended_streams, spare).await;
        (self.slot.key, end, self.endpoints)
    }

    async fn stay_connected(
        &mut self,
        ended_streams: &mut UnboundedReceiver<u32>,
        mut spare: Option<Connection>,
    ) -> LinkEnd {
        let mut lost = None;
        loop {
            let connection = match self.connect(ended_streams, spare.take(), lost).await {
                Ok(connection) => connection,
                Err(end) => return end,
            };
            let began = Instant::now();
            let reason = match self.serve(ended_streams, &connection).await {
                Ok(reason) => reason,
                Err(end) => return end,
            };
            // The backoff continues if connections last only a short time.
            if began.elapsed() >= self.core.config.reconnect.max_delay {
                self.backoff.reset();
            }
            self.loss = Some(Loss::Reconnected(reason.clone()));
            lost = Some(reason);
        }
    }

    /// Connects and writes the offer, and retries until it succeeds. If a connection was `lost`, it
    /// waits first.
    async fn connect(
        &mut self,
        ended_streams: &mut UnboundedReceiver<u32>,
        mut spare: Option<Connection>,
        mut lost: Option<DisconnectReason>,
    ) -> Result<Connection, LinkEnd> {
        let mut attempt = 0;
        loop {
            if let Some(reason) = lost.take() {
                if !self.core.config.reconnect.enabled {
                    return Err(LinkEnd::Final(CloseReason::Lost(reason)));
                }
                attempt += 1;
                let delay = self.backoff.next();
                let (server, filter) = (&self.url, &self.slot.filter);
                tracing::info!(%server, %filter, %reason, attempt, ?delay, "reconnecting");
                let state = ConnectionState::Reconnecting {
                    attempt,
                    delay,
                    reason,
                };
                self.states.reconnecting(self.slot.key, state);
                wanted(ended_streams, sleep(delay)).await?;
            }
            let error = match wanted(ended_streams, self.attempt(spare.take())).await? {
                Ok(Some(connection)) => return Ok(connection),
                Ok(None) => return Err(LinkEnd::OtherDialect),
                Err(error) if error.is_final() => {
                    return Err(LinkEnd::Final(CloseReason::Failed(error)));
                }
                Err(error) => error,
            };
            // The socket may be broken.
            self.endpoints.renew();
            lost = Some(DisconnectReason::Connect(error));
        }
    }

    /// Attempts to connect once, within the timeout. Returns `None` if the server speaks another
    /// dialect.
    async fn attempt(
        &mut self,
        spare: Option<Connection>,
    ) -> Result<Option<Connection>, ConnectError> {
        // Not within the timeout, since the token may come from a slow service.
        let source = self.core.token.lock().clone();
        let token = source.get().await?;
        let (tls, transport) = set_up(&self.core, &self.url, &mut self.trust)?;
        let token = token.as_ref().map_or("", |token| token.expose());
        let offer = Offer::new(token, self.slot.offered()).to_line();
        let after = self.core.config.connect_timeout;
        let mut failures = Failures::default();
        let attempt = async {
            let connection = match spare {
                Some(spare) => spare,
                None => {
                    dial(
                        &mut self.endpoints,
                        &self.url,
                        &tls,
                        &transport,
                        &mut failures,
                    )
                    .await?
                }
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
            .unwrap_or_else(|_| Err(failures.at_timeout(&self.url, after)))
            .map_err(|error| error.with_dialect(self.core.config.dialect))
    }

    /// Passes the server's stream to the subscription, and waits until the connection ends.
    async fn serve(
        &mut self,
        ended_streams: &mut UnboundedReceiver<u32>,
        connection: &Connection,
    ) -> Result<DisconnectReason, LinkEnd> {
        self.number = self.number.wrapping_add(1);
        self.slot.confirm_offer();
        if let Some(loss) = self.loss.take() {
            self.slot.report_loss(loss);
        }
        self.states.connected(self.slot.key, connection);
        tracing::debug!(filter = %self.slot.filter, number = self.number, "offered");
        let mut streaming = false;
        loop {
            tokio::select! {
                biased;
                ended = ended_streams.recv() => match ended {
                    Some(number) if number == self.number => {
                        return lost(go_stream_ended(connection), streaming);
                    }
                    // The stream of an earlier connection.
                    Some(_) => {}
                    None => {
                        connection.close(Code::NO_ERROR, "");
                        return Err(LinkEnd::Unsubscribed);
                    }
                },
                // The server opens it with the first event, which may take any time.
                stream = connection.accept_uni() => match stream {
                    Ok(stream) if !streaming => {
                        streaming = true;
                        let link = self.number;
                        self.slot.push_stream(NewStream::Go { link, stream });
                    }
                    Ok(mut further) => further.stop(Code::PROTOCOL_VIOLATION),
                    Err(error) => return lost(DisconnectReason::Lost(error), streaming),
                },
            }
        }
    }
}

/// Writes the offer, which is the only line that a client sends.
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

/// Returns why a connection was lost, or the end if the server refused the token or the offer.
fn lost(reason: DisconnectReason, streaming: bool) -> Result<DisconnectReason, LinkEnd> {
    match reason {
        DisconnectReason::Lost(ConnectionError::Closed {
            code,
            reason: message,
        }) if code == Code::NOT_AUTHORISED || (!streaming && is_refusal(code)) => {
            let refused = ConnectError::closed(code, message);
            Err(LinkEnd::Final(CloseReason::Failed(refused)))
        }
        reason => Ok(reason),
    }
}

/// Returns whether a server that closes with this code before its stream would refuse the same
/// offer again.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::TOKEN_EXPIRED | Code::PROTOCOL_VIOLATION | Code::FRAME_TOO_LARGE | Code::UNSUPPORTED
    )
}

/// Awaits `work` unless the subscription is dropped first.
async fn wanted<T>(
    ended_streams: &mut UnboundedReceiver<u32>,
    work: impl Future<Output = T>,
) -> Result<T, LinkEnd> {
    let dropped = async {
        // The numbers are of connections that are gone.
        while ended_streams.recv().await.is_some() {}
    };
    tokio::select! {
        biased;
        () = dropped => Err(LinkEnd::Unsubscribed),
        done = work => Ok(done),
    }
}
