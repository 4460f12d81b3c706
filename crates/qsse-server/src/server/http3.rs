//! Connections of others' endpoints.

use std::sync::Arc;

use qsse_transport::Connection;

use super::Server;
use crate::session::web::{self, Http3Answers};

impl Server {
    /// Serves a connection that speaks HTTP/3, of an endpoint of the caller's own, until it ends.
    ///
    /// `answers` get its requests. A WebTransport session is served like one on the server's own
    /// port, if there are [rules](crate::ServerBuilder::web_transport) for them. When the server
    /// drains, the client is told to send no further request, and what it has sent is answered.
    pub async fn serve_http3(&self, connection: &Connection, answers: Arc<dyn Http3Answers>) {
        web::serve_requests(&self.shared, connection, answers).await;
    }
}
