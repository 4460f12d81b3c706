//! Accepting connections, and serving each from its handshake to its end.

use std::pin::Pin;
use std::sync::Arc;

use qsse_proto::{Code, GO_ALPN};
use qsse_transport::{Connection, HandshakeError};

use crate::audit::{AuditEvent, AuditRecord};
use crate::closed::Closed;
#[cfg(feature = "http3")]
use crate::session::web;
use crate::session::{End, Rejected, frames, go, member};
use crate::shared::Shared;

/// What a connection with a subscription takes while nothing happens, as `bench memory` measures
/// it, and a little more. It counts for the limit of memory.
const CONNECTION_BYTES: usize = 40 << 10;

/// Accepts connections until the server ends.
pub(crate) async fn accept(shared: Arc<Shared>) {
    loop {
        let handshake = tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            handshake = shared.endpoint.accept() => handshake,
        };
        match handshake {
            Some(handshake) => {
                let runtime = handshake.runtime().clone();
                let session = serve(Arc::clone(&shared), Box::pin(handshake.complete()));
                drop(shared.sessions.spawn_on(session, &runtime));
            }
            None if shared.draining.is_cancelled() => return,
            None => {
                tracing::error!("the endpoint failed and takes no more connections");
                shared.close(Closed::EndpointFailed);
                // Other shards would go on, with a part of the clients.
                let reason = "the server has failed";
                return shared.endpoint.close(Code::SHUTTING_DOWN, reason);
            }
        }
    }
}

/// Serves one connection, from its handshake to its end.
///
/// What is awaited once is in a box, so that its memory is freed afterwards: a task reserves room
/// for its largest step, and keeps its arguments to the end.
async fn serve<H>(shared: Arc<Shared>, handshake: Pin<Box<H>>)
where
    H: Future<Output = Result<Connection, HandshakeError>>,
{
    let connection = match handshake.await {
        Ok(connection) => connection,
        Err(error) => {
            shared.metrics.handshakes_failed.add(1);
            return tracing::debug!(%error, "a handshake failed");
        }
    };
    let over = CloseWithIt(&connection);
    #[cfg(feature = "testing")]
    shared.note(&connection);
    shared.metrics.connections_total.add(1);
    let _open = shared.metrics.connections.hold();
    let _memory = shared.log.budget().charge(CONNECTION_BYTES);
    let peer = connection.remote_address();
    let place = member::connect(&shared, peer);
    let served = match &place {
        Err(excess) => Err(End::new(excess.code, excess.message.as_str()).into()),
        Ok(_) if connection.alpn() == GO_ALPN => Box::pin(go::serve(&shared, &connection)).await,
        #[cfg(feature = "http3")]
        Ok(_) if connection.alpn() == qsse_proto::H3_ALPN => {
            Box::pin(web::serve(&shared, &connection, None)).await
        }
        Ok(_) => frames::serve(&shared, &connection, shared.hello_deadline()).await,
    };
    let (Ok(end) | Err(Rejected(end))) = &served;
    if served.is_err() {
        shared.metrics.refuse("connection", end.code);
        let record = AuditRecord::new(AuditEvent::Connect, false).address(peer);
        shared.record(&record.code(end.code).reason(&end.reason));
        // Wrong tokens are reported once a second: there may be thousands.
        if end.code == Code::NOT_AUTHORISED {
            tracing::debug!(%peer, code = %end.code, reason = end.reason, "a connection was refused");
        } else {
            tracing::info!(%peer, code = %end.code, reason = end.reason, "a connection was refused");
        }
    } else {
        tracing::debug!(%peer, code = %end.code, reason = end.reason, "a client left");
    }
    connection.close(end.code, &end.reason);
    drop(over);
}

/// Closes a connection whose session panicked. Otherwise its subscriptions would go on, and nobody
/// would watch its token, its requests or a drain.
struct CloseWithIt<'c>(&'c Connection);

impl Drop for CloseWithIt<'_> {
    fn drop(&mut self) {
        // Does nothing unless the session panicked: the connection was closed before.
        self.0.close(Code::UNKNOWN, "the server has failed");
    }
}
