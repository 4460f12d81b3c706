//! The first exchange: a client identifies itself and is accepted or not (QP-4.1, QP-4.5).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use qsse_proto::control::{ClientFrame, Hello, ServerFrame, Welcome};
use qsse_proto::{Code, limits};
use qsse_transport::{Connection, FrameReader, FrameWriter, Network};
use tokio::time::Instant;

use crate::auth::{Credentials, Denied, Principal};
use crate::dedup_scope;
use crate::namespace::Namespace;
use crate::session::peer::Peer;
use crate::session::{End, Session};
use crate::shared::Shared;

/// The two directions of the control stream. In a box: a session's task would have room for it
/// twice.
pub(crate) struct ControlStreams {
    pub(crate) frames: FrameReader,
    pub(crate) replies: FrameWriter,
}

/// Waits for a valid `Hello`, up to the deadline, and answers it. The error says how to close the
/// connection.
pub(crate) async fn receive(
    shared: &Arc<Shared>,
    connection: &Connection,
    deadline: Instant,
) -> Result<(Arc<Session>, Box<ControlStreams>), End> {
    let first = tokio::time::timeout_at(deadline, first_frame(connection));
    let late = |_| End::new(Code::HELLO_TIMEOUT, "no Hello came in time");
    let (hello, mut streams) = first.await.map_err(late)??;
    let token = hello.token.as_ref().map(|token| token.expose());
    let checks = shared.clients.checks();
    let principal = authenticate_new(shared, connection, token).await?;
    let welcome = welcome(shared, &principal);
    let session = Arc::new(Session::new(
        shared,
        Arc::new(connection.clone()),
        principal,
    )?);
    session.admit(checks)?;
    let welcome = ServerFrame::from(welcome).encode();
    let _ = streams.replies.send(welcome).await;
    streams.frames.set_max_len(limits::CONTROL_FRAME_BYTES);
    Ok((session, streams))
}

/// Asks the authenticator about a client that connects. One from a network with many wrong tokens
/// waits first.
pub(crate) async fn authenticate_new(
    shared: &Shared,
    peer: &dyn Peer,
    token: Option<&str>,
) -> Result<Principal, End> {
    let network = Network::of(peer.address().ip());
    let delay = shared.wrong_tokens.delay(network);
    if !delay.is_zero() {
        shared.metrics.paced.tokens.add(1);
        tokio::time::sleep(delay).await;
    }
    let answer = authenticate(shared, peer, token).await;
    if answer.is_err() {
        shared.wrong_tokens.count(network);
    }
    answer
}

/// Asks the authenticator. A late answer or a panic refuses the client.
pub(crate) async fn authenticate(
    shared: &Shared,
    peer: &dyn Peer,
    token: Option<&str>,
) -> Result<Principal, End> {
    let refused = |reason: &str| End::new(Code::NOT_AUTHORISED, reason);
    if token.is_some_and(|token| token.len() > limits::TOKEN_BYTES) {
        return Err(refused("the token is too long"));
    }
    let certificates = peer.certificates();
    let address = peer.address();
    let credentials = Credentials {
        token,
        address,
        certificates: &certificates,
    };
    let answer = AssertUnwindSafe(async { shared.authenticator.authenticate(credentials).await });
    match tokio::time::timeout(shared.limits().auth_timeout, answer.catch_unwind()).await {
        Ok(Ok(Ok(principal))) => Ok(principal.seen(token, address)),
        Ok(Ok(Err(denied @ Denied { .. }))) => Err(refused(&denied.to_string())),
        Ok(Err(_)) => {
            tracing::error!("the authenticator panicked, which denies");
            Err(refused("the token could not be checked"))
        }
        Err(_) => {
            tracing::warn!("the authenticator did not answer in time, which denies");
            Err(refused("the token could not be checked in time"))
        }
    }
}

async fn first_frame(connection: &Connection) -> Result<(Hello, Box<ControlStreams>), End> {
    let (send, recv) = connection.accept_bi().await?;
    let mut frames = FrameReader::new(recv, limits::HELLO_FRAME_BYTES);
    let violation = |reason: &str| End::new(Code::PROTOCOL_VIOLATION, reason);
    let first = frames.next().await?;
    let first = first.ok_or_else(|| violation("the control stream ended without a Hello"))?;
    let ClientFrame::Hello(hello) = ClientFrame::decode(first)? else {
        return Err(violation("the first frame must be Hello"));
    };
    let replies = FrameWriter::new(send);
    // Control frames go before events.
    replies.stream().set_priority(1);
    Ok((hello, Box::new(ControlStreams { frames, replies })))
}

fn welcome(shared: &Shared, principal: &Principal) -> Welcome {
    let config = shared.limits();
    let namespace = Namespace::of(principal);
    let millis = |time: std::time::Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    Welcome {
        features: 0,
        agent: concat!("qsse/", env!("CARGO_PKG_VERSION")).into(),
        epoch: shared.log.epoch(),
        max_event_bytes: u32::try_from(shared.config.log.max_event_bytes).unwrap_or(u32::MAX),
        max_subscriptions: config.max_subscriptions,
        heartbeat_ms: millis(config.heartbeat),
        idle_timeout_ms: millis(shared.config.transport.idle_timeout),
        dedup_window_ms: millis(shared.config.log.dedup_window),
        dedup_keys: u32::try_from(shared.config.log.dedup_keys).unwrap_or(u32::MAX),
        identity: dedup_scope::number(principal.identity(), namespace.prefix()),
        publisher_window_ms: millis(shared.config.log.dedup_publisher_window),
        publishers: u32::try_from(shared.config.log.dedup_publishers).unwrap_or(u32::MAX),
    }
}
