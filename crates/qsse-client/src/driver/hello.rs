//! Becoming a client: connect, say hello, be welcome.

use std::sync::Arc;

use qsse_proto::GO_ALPN;
use qsse_proto::control::{Hello, ServerFrame, Token};
use qsse_proto::limits::CONTROL_FRAME_BYTES;
use qsse_transport::tls::ClientTls;
use qsse_transport::{
    Connection, FrameError, FrameReader, FrameWriter, ReadError, ServerUrl, TransportConfig,
};
use tokio::time::timeout;

use super::asked::AskedFor;
use super::control::Control;
use super::dial::{Endpoints, Heard, dial};
use super::live::Live;
use super::trust::Trust;
use crate::backoff::Backoff;
use crate::core::Core;
use crate::error::ConnectError;
use crate::state::ConnectionState;
use crate::text::plain;

/// The control stream goes before all others.
const CONTROL_PRIORITY: i32 = 100;

/// A connection on which the client may begin, in the dialect of its server.
pub(super) enum Opened {
    Qsse(Box<Live>),
    /// Nothing was said on it yet: in the Go library's dialect that begins with a subscription.
    Go(Connection),
}

/// How the server is recognised and offered the dialect, and the settings of a connection to it.
pub(super) fn set_up(
    core: &Core,
    url: &ServerUrl,
    trust: &mut Trust,
) -> Result<(ClientTls, TransportConfig), ConnectError> {
    let tls = core.config.dialect.offered(trust.at(url)?);
    let transport = core.config.transport.clone().for_client();
    Ok((
        tls,
        transport.handshake_timeout(core.config.connect_timeout),
    ))
}

/// One attempt to connect, within its deadline.
pub(super) async fn connect(
    core: &Arc<Core>,
    url: &ServerUrl,
    trust: &mut Trust,
    endpoints: &mut Endpoints,
    backoff: Backoff,
    last_id: &mut u32,
) -> Result<Opened, ConnectError> {
    // Before the deadline begins: where a token comes from may be far.
    let source = core.token.lock().clone();
    let token = source.get().await?;
    let after = core.config.connect_timeout;
    let (tls, transport) = set_up(core, url, trust)?;
    let mut heard = Heard::default();
    let attempt = async {
        let connection = dial(endpoints, url, &tls, &transport, &mut heard).await?;
        if connection.alpn() == GO_ALPN {
            return Ok(Opened::Go(connection));
        }
        let max_streams = transport.max_remote_uni_streams.unwrap_or_default();
        let asked = AskedFor::new(core.config.reconnect, backoff);
        let live = hello(core, connection, token, asked, max_streams, last_id).await?;
        Ok(Opened::Qsse(Box::new(live)))
    };
    let result = timeout(after, attempt).await;
    result
        .unwrap_or_else(|_| Err(heard.by_deadline(url, after)))
        .map_err(|error| error.with_dialect(core.config.dialect))
}

/// Says hello, asks for all subscriptions in the same breath, and waits for the welcome.
async fn hello(
    core: &Arc<Core>,
    connection: Connection,
    token: Option<Token>,
    asked: AskedFor,
    max_streams: u32,
    last_id: &mut u32,
) -> Result<Live, ConnectError> {
    let (send, recv) = connection
        .open_bi()
        .await
        .map_err(ConnectError::before_welcome)?;
    send.set_priority(CONTROL_PRIORITY);
    let hello = Hello {
        features: 0,
        agent: core.config.agent.clone(),
        token,
    };
    let mut control = Control::new(
        FrameReader::new(recv, CONTROL_FRAME_BYTES),
        FrameWriter::new(send),
    );
    control.send(hello);
    let mut live = Live::new(connection, control, asked, max_streams);
    for slot in core.slots() {
        live.subscribe(slot, last_id);
    }
    match live.control.exchange().await {
        Ok(Some(ServerFrame::Welcome(welcome))) => {
            let address = live.connection().remote_address();
            let server = plain(welcome.agent.clone());
            let epoch = welcome.epoch;
            tracing::info!(%address, server, "connected");
            core.set_session(Some(live.welcome(welcome)));
            core.set_state(ConnectionState::Connected {
                address,
                server,
                epoch,
            });
            Ok(live)
        }
        Ok(Some(ServerFrame::Goodbye(goodbye))) => {
            Err(ConnectError::closed(goodbye.code, plain(goodbye.message)))
        }
        Ok(Some(_)) => Err(ConnectError::NoWelcome),
        Ok(None) => Err(ended(&live)),
        Err(FrameError::Decode(error)) => Err(ConnectError::Protocol(error)),
        Err(FrameError::Read(ReadError::Reset(code))) => {
            Err(ConnectError::closed(code, String::new()))
        }
        Err(FrameError::Read(ReadError::Connection(error))) => {
            Err(ConnectError::before_welcome(error))
        }
        Err(_) => Err(ended(&live)),
    }
}

/// The control stream ended without a welcome: for the connection's own reason, if it has one.
fn ended(live: &Live) -> ConnectError {
    let reason = live.connection().close_reason();
    reason.map_or(ConnectError::NoWelcome, ConnectError::before_welcome)
}
