//! [`SendStream`]: the sending end of a stream.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use qsse_proto::Code;

use crate::error::{ConnectionError, WriteError};
use crate::quic::{code, varint};
use crate::session::{SendSide, Session, from_http3, to_http3};

/// The sending end of a stream.
///
/// `Bytes` enter the connection's send queue without a copy. They stay there until the peer has
/// acknowledged them, up to the send window for all streams together. If the stream is dropped
/// before [`finish`](Self::finish), it is reset with [`Code::UNKNOWN`], so a reader never takes a
/// part for the whole.
pub struct SendStream {
    quinn: quinn::SendStream,
    ended: bool,
    /// Set if the stream belongs to a WebTransport session.
    session: Option<Box<SendSide>>,
}

impl fmt::Debug for SendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendStream")
            .field("quinn", &self.quinn)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// How much a write accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The bytes accepted.
    pub bytes: usize,
    /// The chunks accepted completely. They are empty now. The chunk after them may have lost its
    /// beginning.
    pub chunks: usize,
}

impl SendStream {
    pub(crate) fn new(quinn: quinn::SendStream) -> Self {
        Self {
            quinn,
            ended: false,
            session: None,
        }
    }

    /// Makes it a stream of a session, which begins with `header`: nothing if the peer opened it.
    pub(crate) fn within(mut self, session: &Arc<Session>, header: Bytes) -> Self {
        self.session = Some(Box::new(SendSide::new(session, header)));
        self
    }

    /// Returns a code as it goes over the wire.
    fn wire(&self, code: Code) -> quinn::VarInt {
        match self.session {
            None => varint(code),
            Some(_) => to_http3(code),
        }
    }

    /// Returns the number of the stream.
    #[cfg(feature = "http3")]
    pub(crate) fn id(&self) -> u64 {
        quinn::VarInt::from(self.quinn.id()).into_inner()
    }

    /// Writes all `chunks`.
    ///
    /// Waits for the peer as often as needed. Removes what it has written from `chunks`. After a
    /// cancellation, a second call with the same slice continues where the first one stopped.
    ///
    /// # Errors
    /// The peer stopped the stream, the stream is finished, or the connection has ended.
    pub async fn write_all(&mut self, mut chunks: &mut [Bytes]) -> Result<(), WriteError> {
        while let Some(start) = chunks.iter().position(|chunk| !chunk.is_empty()) {
            chunks = &mut chunks[start..];
            self.write_chunks(chunks).await?;
        }
        Ok(())
    }

    /// Writes as much of `chunks` as fits now. Waits only while nothing fits.
    ///
    /// Chunks that were accepted completely become empty. A partly accepted one keeps its rest.
    /// Cancel-safe: if it does not complete, it has written nothing.
    ///
    /// # Errors
    /// The peer stopped the stream, the stream is finished, or the connection has ended.
    pub async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<Written, WriteError> {
        poll_fn(|cx| self.poll_write_chunks(cx, chunks)).await
    }

    /// Writes as much from the front of `queue` as fits now, and removes it. Waits only while
    /// nothing fits. Returns how many bytes were written.
    ///
    /// Cancel-safe: if it does not complete, the queue is unchanged. An empty queue completes at
    /// once.
    ///
    /// # Errors
    /// The peer stopped the stream, the stream is finished, or the connection has ended.
    pub async fn write_queue(&mut self, queue: &mut VecDeque<Bytes>) -> Result<usize, WriteError> {
        poll_fn(|cx| self.poll_write_queue(cx, queue)).await
    }

    /// Writes all of `queue`. Waits for the peer as often as needed.
    ///
    /// Cancel-safe: what was written has left the queue, and the next call continues with the rest.
    /// An empty queue completes at once.
    ///
    /// # Errors
    /// The peer stopped the stream, the stream is finished, or the connection has ended.
    pub fn write_whole_queue(
        &mut self,
        queue: &mut VecDeque<Bytes>,
    ) -> impl Future<Output = Result<(), WriteError>> {
        // It is not `async`, so that the caller's future does not reserve space for each step.
        poll_fn(|cx| self.poll_write_whole_queue(cx, queue))
    }

    /// Does the same as [`write_whole_queue`](Self::write_whole_queue), for hand-written futures.
    /// Registers the task to be woken while nothing more fits.
    ///
    /// # Errors
    /// Those of `write_whole_queue`.
    pub fn poll_write_whole_queue(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Bytes>,
    ) -> Poll<Result<(), WriteError>> {
        while !queue.is_empty() {
            ready!(self.poll_write_queue(cx, queue))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Does the same as [`write_queue`](Self::write_queue), for hand-written futures. Registers the
    /// task to be woken while nothing fits.
    ///
    /// # Errors
    /// Those of `write_queue`.
    pub fn poll_write_queue(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Bytes>,
    ) -> Poll<Result<usize, WriteError>> {
        let written = ready!(self.poll_write_chunks(cx, queue.make_contiguous()))?;
        while queue.front().is_some_and(Bytes::is_empty) {
            queue.pop_front();
        }
        Poll::Ready(Ok(written.bytes))
    }

    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<Written, WriteError>> {
        if self.ended {
            return Poll::Ready(Err(WriteError::Finished));
        }
        if chunks.iter().all(Bytes::is_empty) {
            return Poll::Ready(Ok(Written {
                bytes: 0,
                chunks: chunks.len(),
            }));
        }
        if let Some(session) = &mut self.session {
            let written = session.poll_write(cx, &mut self.quinn, chunks);
            return written.map_ok(|(bytes, chunks)| Written { bytes, chunks });
        }
        // The future holds no state, so recreating it on each poll is fine.
        pin!(self.quinn.write_chunks(chunks))
            .poll(cx)
            .map(|result| {
                let written = result.map_err(WriteError::from_quinn)?;
                Ok(Written {
                    bytes: written.bytes,
                    chunks: written.chunks,
                })
            })
    }

    /// Ends the stream: no more data follows. Written data is still delivered, even if the stream
    /// is dropped.
    ///
    /// Does nothing if the stream is already finished or reset, or the peer stopped it.
    pub fn finish(&mut self) {
        self.ended = true;
        if let Some(session) = &mut self.session {
            session.begin(&mut self.quinn);
        }
        let _ = self.quinn.finish();
    }

    /// Abandons the stream. Unsent data is dropped, and the peer's reads fail with `code`. Does
    /// nothing if the stream has ended.
    pub fn reset(&mut self, code: Code) {
        self.ended = true;
        let code = self.wire(code);
        let _ = self.quinn.reset(code);
    }

    /// Waits until the peer needs no more of the stream. Returns `Some` with the code if the peer
    /// stopped the stream. Returns `None` if the peer has received all of a finished stream, or if
    /// this side reset it.
    ///
    /// The future does not borrow the stream, so it can be awaited beside a write. It keeps the
    /// connection alive. Cancel-safe.
    ///
    /// # Errors
    /// The connection ended first.
    pub fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<Code>, ConnectionError>> + Send + Sync + use<> {
        // It is on the heap: an `async` block that awaits it would reserve space for it twice, for
        // the life of the stream.
        let mut stopped = Some(Box::pin(self.quinn.stopped()));
        let mut session = self.session.as_ref().map(|session| session.until_ended());
        poll_fn(move |cx| {
            let polled = stopped.as_mut().map(|stopped| stopped.as_mut().poll(cx));
            match (polled, &mut session) {
                (Some(Poll::Ready(Err(quinn::StoppedError::ConnectionLost(_)))), Some(session)) => {
                    stopped = None;
                    session.poll_ended(cx).map(Err)
                }
                (Some(Poll::Ready(result)), session) => {
                    Poll::Ready(was_stopped(result, session.is_some()))
                }
                (_, Some(session)) => session.poll_ended(cx).map(Err),
                (_, None) => Poll::Pending,
            }
        })
    }

    /// Sets the priority among the connection's streams. Streams of a higher priority are always
    /// sent first. The initial priority is 0, and streams of equal priority take turns.
    ///
    /// Set it before the first write. Does nothing if the stream has ended.
    pub fn set_priority(&self, priority: i32) {
        let _ = self.quinn.set_priority(priority);
    }
}

/// Returns what became of a stream, which may be one of a session.
fn was_stopped(
    result: Result<Option<quinn::VarInt>, quinn::StoppedError>,
    in_session: bool,
) -> Result<Option<Code>, ConnectionError> {
    match result {
        Ok(stop) if in_session => Ok(stop.map(from_http3)),
        Ok(stop) => Ok(stop.map(code)),
        Err(quinn::StoppedError::ConnectionLost(error)) => Err(ConnectionError::from_quinn(error)),
        Err(other) => Err(ConnectionError::Transport(other.to_string())),
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if !self.ended {
            self.reset(Code::UNKNOWN);
        }
    }
}
