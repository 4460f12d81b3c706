//! [`Responder`] and [`SendBody`]: write answers.

use std::collections::VecDeque;

use bytes::Bytes;
use h3::server::RequestStream;
use http::{Response, StatusCode};
use qsse_proto::Code;

use super::codes;
use super::error::RequestError;
use super::head;
use super::streams::{Mailbox, Sending};
use crate::error::{ConnectionError, WriteError};
use crate::send::SendStream;

/// Answers a request. Dropping it resets the stream.
pub struct Responder {
    pub(super) body: SendBody,
    pub(super) encoder: RequestStream<Sending, Bytes>,
    pub(super) mailbox: Mailbox,
}

impl Responder {
    /// Writes the head of the answer.
    ///
    /// # Errors
    /// The client takes no heads of this length, it cancelled the request, or the connection has
    /// ended.
    pub async fn respond(mut self, head: Response<()>) -> Result<SendBody, RequestError> {
        let encoded = self.encoder.send_response(head).await;
        encoded.map_err(RequestError::from_h3)?;
        let (bytes, _) = self.mailbox.take();
        self.body.queue.push_back(bytes);
        self.body.flush().await?;
        Ok(self.body)
    }

    /// Answers with a status and a line of text, and waits until the client has it.
    ///
    /// # Errors
    /// Those of [`respond`](Self::respond).
    pub async fn refuse(self, status: StatusCode, text: &str) -> Result<(), RequestError> {
        let head = Response::builder()
            .status(status)
            .header("content-type", "text/plain; charset=utf-8")
            .body(())
            .map_err(|error| RequestError::Malformed(error.to_string()))?;
        let mut body = self.respond(head).await?;
        body.send([Bytes::copy_from_slice(text.as_bytes())]).await?;
        body.finish().await
    }

    /// Waits until the client cancels the request; see [`SendStream::stopped`]. Does not borrow.
    ///
    /// # Errors
    /// The connection ended first.
    pub fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<Code>, ConnectionError>> + Send + use<> {
        self.body.stream.stopped()
    }
}

/// Writes the body of a request or an answer. If it is dropped before [`finish`](Self::finish), the
/// stream is reset, so a reader never takes a part for the whole.
#[derive(Debug)]
pub struct SendBody {
    stream: SendStream,
    queue: VecDeque<Bytes>,
    finished: bool,
}

impl SendBody {
    pub(super) fn new(stream: SendStream) -> Self {
        Self {
            stream,
            queue: VecDeque::new(),
            finished: false,
        }
    }

    /// Writes bytes as one frame, without copying them. Waits for the peer as often as needed: what
    /// it does not read is not taken.
    ///
    /// If cancelled, the rest stays and the next call writes it. Do not send it again.
    ///
    /// # Errors
    /// The peer stopped the stream, or the connection has ended.
    pub async fn send(
        &mut self,
        chunks: impl IntoIterator<Item = Bytes>,
    ) -> Result<(), WriteError> {
        let at = self.queue.len();
        self.queue
            .extend(chunks.into_iter().filter(|chunk| !chunk.is_empty()));
        let length: usize = self.queue.iter().skip(at).map(Bytes::len).sum();
        if length > 0 {
            self.queue.insert(at, head::data(length));
        }
        self.flush().await
    }

    /// Writes what a cancelled call has left. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    pub async fn flush(&mut self) -> Result<(), WriteError> {
        self.stream.write_whole_queue(&mut self.queue).await
    }

    /// Ends the body, and waits until the peer has all of it.
    ///
    /// # Errors
    /// The peer stopped the stream before that, or the connection has ended.
    pub async fn finish(mut self) -> Result<(), RequestError> {
        self.flush().await?;
        self.end();
        match self.stream.stopped().await? {
            // A client that has the whole answer may still say that it reads no more.
            None | Some(codes::NO_ERROR) => Ok(()),
            Some(code) => Err(RequestError::Cancelled(code)),
        }
    }

    /// Ends the body. What was written is still delivered.
    pub(super) fn end(&mut self) {
        self.finished = true;
        self.stream.finish();
    }

    pub(super) fn queue(&mut self, bytes: Bytes) {
        self.queue.push_back(bytes);
    }

    /// Abandons the body. Does nothing if it has ended.
    pub fn reset(&mut self, code: Code) {
        self.finished = true;
        self.stream.reset(code);
    }

    /// Returns the stream, to wait until the peer stops it.
    pub fn stream(&self) -> &SendStream {
        &self.stream
    }
}

impl Drop for SendBody {
    fn drop(&mut self) {
        if !self.finished {
            self.stream.reset(codes::INTERNAL_ERROR);
        }
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder").finish_non_exhaustive()
    }
}
