//! Connects, sends the hello, and waits for the welcome.

use std::sync::Arc;

use qsse_proto::GO_ALPN;
use qsse_proto::control::{Hello, ServerFrame, Token};
use qsse_proto::limits::CONTROL_FRAME_BYTES;
use qsse_transport::tls::ClientTls;
use qsse_transport::{
    Connection, FrameError, FrameReader, FrameWriter, ReadError, ServerUrl, TransportConfig,
};
use tokio::time::timeout;

use super::connection::OpenConnection;
use super::control::Control;
use super::dial::{Endpoints, Failures, dial};
use super::requests::Requests;
use super::trust::Trust;
use crate::backoff::Backoff;
use crate::core::Core;
use crate::error::ConnectError;
use crate::state::ConnectionState;
use crate::text::plain;

/// The control stream is written before all others.
const CONTROL_PRIORITY: i32 = 100;

/// A new connection, in the dialect of its server.
pub(super) enum Opened {
    /// The server has accepted the client.
    Qsse(Box<OpenConnection>),
    /// Nothing was sent yet: in the Go dialect, a connection begins with a subscription.
    Go(Connection),
}

/// Returns how to verify the server and what to offer it, and the settings of a connection to it.
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

/// Attempts to connect once, within the timeout.
pub(super) async fn connect(
    core: &Arc<Core>,
    url: &ServerUrl,
    trust: &mut Trust,
    endpoints: &mut Endpoints,
    backoff: Backoff,
    last_id: &mut u32,
) -> Result<Opened, ConnectError> {
    // Not within the timeout, since the token may come from a slow service.
    let source = core.token.lock().clone();
    let token = source.get().await?;
    let after = core.config.connect_timeout;
    let (tls, transport) = set_up(core, url, trust)?;
    let mut failures = Failures::default();
    let attempt = async {
        let connection = dial(endpoints, url, &tls, &transport, &mut failures).await?;
        if connection.alpn() == GO_ALPN {
            return Ok(Opened::Go(connection));
        }
        #[cfg(feature = "web-transport")]
        let connection = match connection.alpn() == qsse_proto::H3_ALPN {
            true => {
                let path = qsse_proto::WEB_TRANSPORT_PATH;
                connection.open_session(&url.authority(), path).await?
            }
            false => connection,
        };
        let max_streams = transport.max_remote_uni_streams.unwrap_or_default();
        let requests = Requests::new(core.config.reconnect, backoff);
        let open = hello(core, connection, token, requests, max_streams, last_id).await?;
        Ok(Opened::Qsse(Box::new(open)))
    };
    let result = timeout(after, attempt).await;
    result
        .unwrap_or_else(|_| Err(failures.at_timeout(url, after)))
        .map_err(|error| error.with_dialect(core.config.dialect))
}

/// Sends the hello together with the requests for all subscriptions, and waits for the welcome.
/// Until then it opens no other stream (QP-15.5).
async fn hello(
    core: &Arc<Core>,
    connection: Connection,
    token: Option<Token>,
    requests: Requests,
    max_streams: u32,
    last_id: &mut u32,
) -> Result<OpenConnection, ConnectError> {
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
    let mut open = OpenConnection::new(connection, control, requests, max_streams);
    for slot in core.slots() {
        open.subscribe(slot, last_id);
    }
    match open.control.exchange().await {
        Ok(Some(ServerFrame::Welcome(welcome))) => {
            let address = open.connection().remote_address();
            let server = plain(welcome.agent.clone());
            let epoch = welcome.epoch;
            tracing::info!(%address, server, "connected");
            core.set_session(Some(open.welcome(welcome)));
            core.set_state(ConnectionState::Connected {
                address,
                server,
                epoch,
            });
            Ok(open)
        }
        Ok(Some(ServerFrame::Goodbye(goodbye))) => {
            Err(ConnectError::closed(goodbye.code, plain(goodbye.message)))
        }
        Ok(Some(_)) => Err(ConnectError::NoWelcome),
        Ok(None) => Err(ended(&open)),
        Err(FrameError::Decode(error)) => Err(ConnectError::Protocol(error)),
        Err(FrameError::Read(ReadError::Reset(code))) => {
            Err(ConnectError::closed(code, String::new()))
        }
        Err(FrameError::Read(ReadError::Connection(error))) => {
            Err(ConnectError::before_welcome(error))
        }
        Err(_) => Err(ended(&open)),
    }
}

/// Returns the error of a control stream that ended without a welcome.
fn ended(open: &OpenConnection) -> ConnectError {
    let reason = open.connection().close_reason();
    reason.map_or(ConnectError::NoWelcome, ConnectError::before_welcome)
}
