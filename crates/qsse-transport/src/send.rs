//! [`SendStream`]: the writing end of a stream.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use qsse_proto::Code;

use crate::error::{ConnectionError, WriteError};
use crate::quic::{code, varint};

/// The writing end of a stream.
///
/// `Bytes` go into the connection's send queue without a copy and stay there until the peer has
/// acknowledged them, up to the send window for all streams together. Dropped before
/// [`finish`](Self::finish), the stream is reset with [`Code::UNKNOWN`], so that a reader never
/// takes a part for the whole.
#[derive(Debug)]
pub struct SendStream {
    quinn: quinn::SendStream,
    ended: bool,
}

/// How much a write took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// Bytes taken.
    pub bytes: usize,
    /// Chunks taken whole; they are empty now. The one behind them may have lost its beginning.
    pub chunks: usize,
}

impl SendStream {
    pub(crate) fn new(quinn: quinn::SendStream) -> Self {
        Self {
            quinn,
            ended: false,
        }
    }

    /// Writes all `chunks`.
    ///
    /// Waits for the peer as often as needed. What has been written is taken out of `chunks`, so
    /// after a cancellation a second call with the same slice goes on where the first one was.
    ///
    /// # Errors
    /// When the peer stopped the stream, it is finished, or the connection has ended.
    pub async fn write_all(&mut self, mut chunks: &mut [Bytes]) -> Result<(), WriteError> {
        while let Some(start) = chunks.iter().position(|chunk| !chunk.is_empty()) {
            chunks = &mut chunks[start..];
            self.write_chunks(chunks).await?;
        }
        Ok(())
    }

    /// Writes as much of `chunks` as fits now; waits only while nothing fits.
    ///
    /// Chunks taken whole are left empty; one taken in part keeps its rest. Cancel-safe: unless it
    /// completes, nothing was written.
    ///
    /// # Errors
    /// When the peer stopped the stream, it is finished, or the connection has ended.
    pub async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<Written, WriteError> {
        poll_fn(|cx| self.poll_write_chunks(cx, chunks)).await
    }

    /// Writes as much from the front of `queue` as fits now and removes it; waits only while
    /// nothing fits. Says how many bytes went.
    ///
    /// Cancel-safe: unless it completes, the queue is as it was. An empty queue completes at once.
    ///
    /// # Errors
    /// When the peer stopped the stream, it is finished, or the connection has ended.
    pub async fn write_queue(&mut self, queue: &mut VecDeque<Bytes>) -> Result<usize, WriteError> {
        poll_fn(|cx| self.poll_write_queue(cx, queue)).await
    }

    /// Writes all of `queue`, waiting for the peer as often as needed.
    ///
    /// Cancel-safe: what has been written is gone from the queue, and the next call goes on with the
    /// rest. An empty queue completes at once.
    ///
    /// # Errors
    /// When the peer stopped the stream, it is finished, or the connection has ended.
    pub fn write_whole_queue(
        &mut self,
        queue: &mut VecDeque<Bytes>,
    ) -> impl Future<Output = Result<(), WriteError>> {
        // Not `async`, so that the caller's future has no room for each step.
        poll_fn(|cx| {
            while !queue.is_empty() {
                ready!(self.poll_write_queue(cx, queue))?;
            }
            Poll::Ready(Ok(()))
        })
    }

    /// [`write_queue`](Self::write_queue) for hand-written futures: registers the task to be woken
    /// while nothing fits.
    ///
    /// # Errors
    /// As `write_queue`.
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
        // The future keeps nothing between polls, so a new one each time is the same one.
        pin!(self.quinn.write_chunks(chunks))
            .poll(cx)
            .map(|result| {
                let written = result?;
                Ok(Written {
                    bytes: written.bytes,
                    chunks: written.chunks,
                })
            })
    }

    /// Says that nothing more will be written. What was written is still delivered, also when the
    /// stream is dropped.
    ///
    /// Does nothing when the stream is already finished, reset, or stopped by the peer.
    pub fn finish(&mut self) {
        self.ended = true;
        let _ = self.quinn.finish();
    }

    /// Abandons the stream: unsent data is dropped, the peer's reads fail with `code`. Does nothing
    /// when the stream has ended.
    pub fn reset(&mut self, code: Code) {
        self.ended = true;
        let _ = self.quinn.reset(varint(code));
    }

    /// Waits until the peer needs no more of the stream: `Some` with the code when it stopped the
    /// stream, `None` when it has received all of a finished one, or when the stream was reset
    /// here.
    ///
    /// Independent of the stream's borrow, so that it can be awaited beside a write; it keeps the
    /// connection alive. Cancel-safe.
    ///
    /// # Errors
    /// When the connection has ended first.
    pub fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<Code>, ConnectionError>> + Send + Sync + use<> {
        // On the heap: awaited in an `async` block it would be in there twice, for as long as the stream lives.
        let mut stopped = Box::pin(self.quinn.stopped());
        poll_fn(move |cx| {
            stopped.as_mut().poll(cx).map(|result| match result {
                Ok(stop) => Ok(stop.map(code)),
                Err(quinn::StoppedError::ConnectionLost(error)) => Err(error.into()),
                Err(other) => Err(ConnectionError::Transport(other.to_string())),
            })
        })
    }

    /// Sets the priority among the connection's streams: higher ones go first, strictly; 0 at the
    /// start, equal ones take turns.
    ///
    /// Set it before the first write. Does nothing when the stream has ended.
    pub fn set_priority(&self, priority: i32) {
        let _ = self.quinn.set_priority(priority);
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if !self.ended {
            self.reset(Code::UNKNOWN);
        }
    }
}
