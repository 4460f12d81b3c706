//! [`Client`]: sends requests.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use h3::ext::Protocol;
use http::{Method, Request, Response};
use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::adapter::{Opened, Opener, Quic};
use super::body::RecvBody;
use super::error::RequestError;
use super::frames::{Frames, Part};
use super::sending::SendBody;
use super::sessions::Sessions;
use super::settings::Settings;
use super::streams::{Bi, Mailbox};
use crate::connection::{Connection, SessionStream};
use crate::error::ConnectionError;

/// The client's side of a connection that speaks HTTP/3, for tests and tools. Dropping it closes
/// the connection.
pub struct Client {
    sender: AsyncMutex<h3::client::SendRequest<Opener, Bytes>>,
    opened: Opened,
    sessions: Sessions,
    /// The most bytes of a head.
    limit: usize,
    /// Reads the control streams.
    driver: JoinHandle<()>,
}

impl Client {
    /// Begins to use a connection. Needs a tokio runtime.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn connect(
        connection: &Connection,
        settings: &Settings,
    ) -> Result<Self, ConnectionError> {
        let settings = Arc::new(settings.clone());
        let quic = Quic::new(connection, &settings);
        let (opened, sessions) = (quic.opened(), quic.sessions.clone());
        let built = h3::client::builder()
            .max_field_section_size(settings.max_head as u64)
            .send_grease(false)
            .build(quic)
            .await;
        let (mut driver, sender) = built.map_err(|error| {
            let reason = connection.close_reason();
            reason.unwrap_or_else(|| ConnectionError::Transport(error.to_string()))
        })?;
        Ok(Self {
            opened,
            sessions,
            limit: settings.max_head,
            sender: AsyncMutex::new(sender),
            driver: tokio::spawn(async move {
                poll_fn(|cx| driver.poll_close(cx)).await;
            }),
        })
    }

    /// Sends the head of a request. Its URI has a scheme and an authority.
    ///
    /// # Errors
    /// The head is no request's, the server is going away, or the connection has ended.
    pub async fn request(&self, head: Request<()>) -> Result<Exchange, RequestError> {
        self.send(head, false).await
    }

    /// Asks for a WebTransport session. The method of `head` becomes `CONNECT`.
    ///
    /// # Errors
    /// Those of [`request`](Self::request).
    pub async fn session(&self, mut head: Request<()>) -> Result<Exchange, RequestError> {
        *head.method_mut() = Method::CONNECT;
        head.extensions_mut().insert(Protocol::WEB_TRANSPORT);
        self.send(head, true).await
    }

    async fn send(&self, head: Request<()>, session: bool) -> Result<Exchange, RequestError> {
        let mut sender = self.sender.lock().await;
        let sent = sender.send_request(head).await;
        let decoder = sent.map_err(RequestError::from_h3)?;
        let opened = {
            let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            opened.take()
        };
        drop(sender);
        let (send, frames, mailbox) = opened.expect("a request has a stream");
        let mut body = SendBody::new(send);
        body.queue(mailbox.take().0);
        let id = body.stream().id();
        // Before the server can open a stream in it.
        let streams = session.then(|| self.sessions.open(id)).flatten();
        body.flush().await?;
        Ok(Exchange {
            body,
            frames,
            mailbox,
            decoder,
            limit: self.limit,
            id,
            streams,
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// A request whose head was sent.
pub struct Exchange {
    /// The body of the request. [Finish](SendBody::finish) it, or the server waits for more.
    pub body: SendBody,
    frames: Frames,
    mailbox: Mailbox,
    decoder: h3::client::RequestStream<Bi, Bytes>,
    limit: usize,
    pub(crate) id: u64,
    /// The streams that the server opens, if this asks for a session and no other is open.
    pub(crate) streams: Option<mpsc::UnboundedReceiver<SessionStream>>,
}

impl Exchange {
    /// Ends the request's body, and returns the head of the answer and its body.
    ///
    /// # Errors
    /// The server refused the request, or the connection has ended.
    pub async fn answer(mut self) -> Result<(Response<()>, RecvBody), RequestError> {
        self.body.flush().await?;
        self.body.end();
        let (head, body, _) = self.begin().await?;
        Ok((head, body))
    }

    /// Returns the head of the answer and its body while the request's body goes on.
    ///
    /// # Errors
    /// Those of [`answer`](Self::answer).
    pub async fn begin(mut self) -> Result<(Response<()>, RecvBody, SendBody), RequestError> {
        let limit = self.limit;
        let part = poll_fn(|cx| self.frames.poll_next(cx, limit)).await?;
        let Some(Part::Head(head)) = part else {
            return Err(RequestError::Malformed("there is no answer".into()));
        };
        self.mailbox.put(&head);
        let head = self.decoder.recv_response().await;
        let head = head.map_err(RequestError::from_h3)?;
        let body = RecvBody::new(self.frames, limit, head.headers());
        Ok((head, body, self.body))
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}
