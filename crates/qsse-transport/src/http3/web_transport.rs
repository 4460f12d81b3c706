//! WebTransport: sessions that a client opens or a server accepts, and the stream that carries
//! their end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode, Uri};
use qsse_proto::Code;

use super::body::RecvBody;
use super::client::Client;
use super::error::RequestError;
use super::requests::Session;
use super::sending::SendBody;
use super::settings::Settings;
use crate::connection::Connection;
use crate::error::{ConnectError, ConnectionError};
use crate::session::{self, Capsules, Ending, H3_NO_ERROR, close_capsule, with_connection};

/// How long the peer may take to acknowledge that a session is closed. Its connection is closed
/// then.
const FAREWELL: Duration = Duration::from_millis(500);

/// The priority of the stream that carries the end: before all others.
const PRIORITY: i32 = i32::MAX;

/// The header by which browsers knew the first version of WebTransport.
const DRAFT: (&str, &str) = ("sec-webtransport-http3-draft", "draft02");

impl Session {
    /// Opens the session. Returns it as a [`Connection`], and what carries its end: it works only
    /// while [`Carrier::run`] runs.
    ///
    /// # Errors
    /// The client no longer wants it, or the connection has ended.
    pub async fn accept(
        self,
        connection: &Connection,
    ) -> Result<(Connection, Carrier), RequestError> {
        let Self {
            request,
            id,
            streams,
        } = self;
        let head = Response::builder().header(DRAFT.0, DRAFT.1).body(());
        let head = head.map_err(|error| RequestError::Malformed(error.to_string()))?;
        let send = request.responder.respond(head).await?;
        let session = session::Session::new(id);
        let carrier = Carrier::new(&session, request.body, send);
        Ok((connection.session(session, streams), carrier))
    }
}

impl Connection {
    /// Asks the server for a WebTransport session at this path. `authority` is its name and port.
    /// This connection must speak HTTP/3, and serves the session alone: it is closed with it.
    ///
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// The server refuses the session, or the connection has ended.
    pub async fn open_session(
        &self,
        authority: &str,
        path: &str,
    ) -> Result<Connection, ConnectError> {
        let address = self.remote_address();
        let lost =
            |error: ConnectionError| ConnectError::from_connection(address, with_connection(error));
        let failed = |error: RequestError| match error {
            RequestError::Connection(error) => lost(error),
            other => lost(ConnectionError::Transport(other.to_string())),
        };
        let settings = Settings::default().web_transport(true);
        let client = Client::connect(self, &settings).await;
        let client = client.map_err(lost)?;
        let head = request(authority, path);
        let head = head.map_err(|error| lost(ConnectionError::Transport(error.to_string())))?;
        let mut exchange = client.session(head).await.map_err(failed)?;
        let id = exchange.id;
        let streams = exchange.streams.take();
        let (answer, recv, send) = exchange.begin().await.map_err(failed)?;
        let streams = streams.filter(|_| answer.status() == StatusCode::OK);
        let Some(streams) = streams else {
            let status = answer.status().as_u16();
            return Err(ConnectError::SessionRefused { address, status });
        };
        let session = session::Session::new(id);
        let carrier = Carrier::new(&session, recv, send);
        let connection = self.clone();
        tokio::spawn(async move {
            carrier.run().await;
            connection.close(Code::new(H3_NO_ERROR), "");
            drop(client);
        });
        Ok(self.session(session, streams))
    }
}

fn request(authority: &str, path: &str) -> Result<Request<()>, http::Error> {
    let uri = Uri::builder()
        .scheme("https")
        .authority(authority)
        .path_and_query(path)
        .build()?;
    Request::builder().uri(uri).body(())
}

/// Carries the end of a session from one side to the other, on the stream that opened it. Dropping
/// it ends the session.
pub struct Carrier {
    ending: Watched,
    recv: RecvBody,
    send: SendBody,
}

impl Carrier {
    fn new(session: &session::Session, recv: RecvBody, send: SendBody) -> Self {
        send.stream().set_priority(PRIORITY);
        let ending = Watched(Arc::clone(session.ending()));
        Self { ending, recv, send }
    }

    /// Completes once the session has ended and the peer knows it, or cannot be told (QP-15.7).
    pub async fn run(mut self) {
        let mut capsules = Capsules::default();
        let mut ended = self.ending.0.ended();
        loop {
            tokio::select! {
                biased;
                () = &mut ended => break,
                read = self.recv.next() => match read {
                    Ok(Some(bytes)) => self.read(&mut capsules, &bytes),
                    Ok(None) => self.ending.0.note(closed(Code::NO_ERROR, "")),
                    Err(error) => self.ending.0.note(failed(error)),
                },
            }
        }
        let Self {
            ending, mut send, ..
        } = self;
        let farewell = ending.0.farewell();
        let capsule = farewell.map(|(code, reason)| close_capsule(code, reason));
        let told = async {
            if send.send(capsule).await.is_ok() {
                // Only that it has arrived matters.
                let _ = send.finish().await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, told).await;
    }

    fn read(&self, capsules: &mut Capsules, bytes: &[u8]) {
        match capsules.push(bytes) {
            Ok(None) => {}
            Ok(Some(close)) => self.ending.0.note(closed(close.code, &close.reason)),
            Err(_) => {
                let reason = "a capsule that closes a session is malformed";
                self.ending.0.close(Code::PROTOCOL_VIOLATION, reason);
            }
        }
    }
}

/// A session whose end would not be noticed any more when this is dropped.
struct Watched(Arc<Ending>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.note(ConnectionError::LocallyClosed);
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrier").finish_non_exhaustive()
    }
}

fn closed(code: Code, reason: &str) -> ConnectionError {
    let reason = reason.into();
    ConnectionError::Closed { code, reason }
}

/// Returns why a session ended whose stream has failed.
fn failed(error: RequestError) -> ConnectionError {
    match error {
        RequestError::Connection(error) => with_connection(error),
        other => closed(Code::UNKNOWN, &other.to_string()),
    }
}
