//! Clients that speak `qsse/1`: from their `Hello` to their end.

use std::sync::Arc;

use qsse_proto::Code;
use qsse_transport::Connection;
use tokio::time::Instant;

use crate::clients::Client;
use crate::session::{End, Rejected, control, hello};
use crate::shared::Shared;

/// Serves a client that speaks `qsse/1`. Its `Hello` has to come before the deadline.
pub(crate) async fn serve(
    shared: &Arc<Shared>,
    connection: &Connection,
    deadline: Instant,
) -> Result<End, Rejected> {
    let received = hello::receive(shared, connection, deadline);
    let (session, streams) = Box::pin(received).await?;
    let principal = session.access.principal();
    tracing::debug!(peer = %connection.remote_address(), principal = principal.name(), "a client connected");
    let end = control::run(&session, connection, streams).await;
    if matches!(end.code, Code::TOKEN_EXPIRED | Code::NOT_AUTHORISED) {
        // Its publishes that were received already are not accepted any more.
        session.expel(end.code, &end.reason);
    }
    Ok(end)
}
