//! [`Requests`]: the requests of a client.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h3::ext::Protocol;
use h3::frame::FrameStream;
use h3::server::RequestResolver;
use h3::stream::BufRecvStream;
use http::{Method, StatusCode};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::adapter::Quic;
use super::body::RecvBody;
use super::codes;
use super::error::RequestError;
use super::frames::{Frames, Part};
use super::head;
use super::sending::{Responder, SendBody};
use super::sessions::Sessions;
use super::settings::Settings;
use super::streams::{Bi, Mailbox};
use crate::connection::{Connection, SessionStream};
use crate::error::ConnectionError;

/// How many heads of a connection are read at a time. With the most bytes of a head, this bounds
/// what incomplete heads take. Further streams wait, in the connection's receive window.
const HEADS: usize = 16;

/// A request of a client.
#[derive(Debug)]
pub struct Request {
    /// The method, the URI, the header fields.
    pub head: http::Request<()>,
    /// Its body.
    pub body: RecvBody,
    /// What answers it.
    pub responder: Responder,
}

/// A client's request for a WebTransport session.
#[derive(Debug)]
pub struct Session {
    /// The request. It is the whole session: answered with 200, it opens it, and with its body and
    /// the answer's the two sides exchange capsules until one of them ends.
    pub request: Request,
    pub(crate) id: u64,
    /// Those that the client opens in the session.
    pub(crate) streams: mpsc::UnboundedReceiver<SessionStream>,
}

impl Session {
    /// Returns the session's id, with which its streams begin.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// What a client asks for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// An ordinary request.
    Request(Request),
    /// A WebTransport session.
    WebTransport(Session),
}

/// The requests of a client, on a connection that speaks HTTP/3. Dropping it closes the connection.
///
/// It has no task of its own. All that concerns the connection as a whole happens in
/// [`next`](Self::next), also while requests are answered: call it until it returns `None` or an
/// error.
pub struct Requests {
    h3: h3::server::Connection<Quic, Bytes>,
    connection: Connection,
    settings: Arc<Settings>,
    sessions: Sessions,
    heads: FuturesUnordered<BoxFuture<'static, Option<Incoming>>>,
    /// Whether no request will come any more.
    drained: bool,
}

impl Requests {
    /// Begins to serve a connection: opens the control streams, and permits the client its streams.
    ///
    /// # Errors
    /// The connection has ended, or the client does not let the server begin in time.
    pub async fn accept(
        connection: &Connection,
        settings: &Settings,
    ) -> Result<Self, ConnectionError> {
        let settings = Arc::new(settings.clone());
        connection.set_max_remote_bidi_streams(settings.max_requests);
        let quic = Quic::new(connection, &settings);
        let sessions = quic.sessions.clone();
        let mut builder = h3::server::builder();
        builder
            .max_field_section_size(settings.max_head as u64)
            .send_grease(false);
        let built = timeout(settings.head_timeout, builder.build(quic)).await;
        let Ok(built) = built else {
            let reason = "the client permits no control streams";
            connection.close(codes::EXCESSIVE_LOAD, reason);
            return Err(ConnectionError::TimedOut);
        };
        let h3 = built.map_err(|error| ended(connection, &error))?;
        Ok(Self {
            h3,
            connection: connection.clone(),
            settings,
            sessions,
            heads: FuturesUnordered::new(),
            drained: false,
        })
    }

    /// Waits for the next request whose head is complete. Returns `None` if the client wants no
    /// more and all were answered.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The connection has ended: the client closed it, it was lost, or the client broke the rules
    /// of HTTP/3 and the connection was closed for that.
    pub async fn next(&mut self) -> Result<Option<Incoming>, ConnectionError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Incoming>, ConnectionError>> {
        loop {
            while !self.drained && self.heads.len() < HEADS {
                match self.h3.poll_accept_request_stream(cx) {
                    Poll::Ready(Ok(Some(stream))) => self.read_head(stream),
                    Poll::Ready(Ok(None)) => self.drained = true,
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(ended(&self.connection, &error)));
                    }
                    Poll::Pending => break,
                }
            }
            match self.heads.poll_next_unpin(cx) {
                Poll::Ready(Some(Some(incoming))) => return Poll::Ready(Ok(Some(incoming))),
                // There is room for another head.
                Poll::Ready(Some(None)) => {}
                Poll::Ready(None) if self.drained => return Poll::Ready(Ok(None)),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn read_head(&mut self, mut stream: Bi) {
        let mailbox = stream.mailbox.clone();
        let (send, frames) = stream.stream.take().expect("the stream was just accepted");
        let as_h3_sees_it = FrameStream::new(BufRecvStream::new(stream));
        let head = Head {
            resolver: self.h3.create_resolver(as_h3_sees_it),
            mailbox,
            send: SendBody::new(send),
            frames,
            sessions: self.sessions.clone(),
        };
        let settings = Arc::clone(&self.settings);
        self.heads.push(Box::pin(head.read(settings)));
    }

    /// Tells the client to send no further requests on this connection. Those that it has sent are
    /// still returned by [`next`](Self::next).
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn go_away(&mut self) -> Result<(), ConnectionError> {
        let told = self.h3.shutdown(0).await;
        told.map_err(|error| ended(&self.connection, &error))
    }

    /// Returns the connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests")
            .field("connection", &self.connection)
            .field("heads", &self.heads.len())
            .finish_non_exhaustive()
    }
}

/// A head that is being read.
struct Head {
    resolver: RequestResolver<Quic, Bytes>,
    mailbox: Mailbox,
    send: SendBody,
    frames: Frames,
    sessions: Sessions,
}

impl Head {
    /// Returns `None` if nobody needs to know of the request.
    async fn read(mut self, settings: Arc<Settings>) -> Option<Incoming> {
        let limit = settings.max_head;
        let part = poll_fn(|cx| self.frames.poll_next(cx, limit));
        let resolved = match timeout(settings.head_timeout, part).await {
            Ok(Ok(Some(Part::Head(head)))) => {
                self.mailbox.put(&head);
                let resolved = self.resolver.resolve_request().await;
                resolved.map_err(RequestError::from_h3)
            }
            Ok(Ok(_)) => {
                self.send.reset(codes::REQUEST_INCOMPLETE);
                return None;
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                self.send.reset(codes::REQUEST_REJECTED);
                return None;
            }
        };
        let (head, stream) = match resolved {
            Ok(resolved) => resolved,
            Err(error) => {
                let refused = refuse(self.send, &self.mailbox, error);
                // A client that does not take the answer gets none.
                let _ = timeout(settings.head_timeout, refused).await;
                return None;
            }
        };
        let id = self.send.stream().id();
        let (encoder, _) = stream.split();
        let body = RecvBody::new(self.frames, limit, head.headers());
        let responder = Responder {
            body: self.send,
            encoder,
            mailbox: self.mailbox,
        };
        let session = head.method() == Method::CONNECT
            && head.extensions().get() == Some(&Protocol::WEB_TRANSPORT)
            && settings.web_transport;
        let request = Request {
            head,
            body,
            responder,
        };
        if !session {
            return Some(Incoming::Request(request));
        }
        let Some(streams) = self.sessions.open(id) else {
            let text = "one session at a time: open another connection\n";
            let refused = request
                .responder
                .refuse(StatusCode::TOO_MANY_REQUESTS, text);
            let _ = timeout(settings.head_timeout, refused).await;
            return None;
        };
        let session = Session {
            request,
            id,
            streams,
        };
        Some(Incoming::WebTransport(session))
    }
}

/// Answers a request that is none.
async fn refuse(mut send: SendBody, mailbox: &Mailbox, error: RequestError) {
    tracing::debug!(%error, "a request over HTTP/3 was refused");
    let (_, reset) = mailbox.take();
    match (error, reset) {
        (RequestError::HeadTooLong { .. }, _) => {
            send.queue(head::HEAD_TOO_LONG);
            let _ = send.finish().await;
        }
        (_, Some(code)) => send.reset(code),
        _ => send.reset(codes::REQUEST_CANCELLED),
    }
}

/// Returns why a connection ended.
fn ended(connection: &Connection, error: &h3::error::ConnectionError) -> ConnectionError {
    match (error, connection.close_reason()) {
        (
            h3::error::ConnectionError::Remote(_) | h3::error::ConnectionError::Timeout,
            Some(reason),
        ) => reason,
        _ => ConnectionError::Transport(error.to_string()),
    }
}
