//! What the two ends of a stream add when it belongs to a session.

use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::{Ended, Session, from_http3};
use crate::error::{ConnectionError, ReadError, WriteError};

/// The sending end of a stream in a session.
pub(crate) struct SendSide {
    session: UntilEnded,
    /// What is to be written before the first data; empty once it is.
    header: Bytes,
}

/// The receiving end of a stream in a session.
pub(crate) struct RecvSide {
    session: UntilEnded,
}

/// Waits for the end of a session while a stream can do nothing.
pub(crate) struct UntilEnded {
    session: Arc<Session>,
    ended: Option<Ended>,
}

impl UntilEnded {
    fn new(session: &Arc<Session>) -> Self {
        let session = Arc::clone(session);
        let ended = None;
        Self { session, ended }
    }

    /// Registers the task to be woken when the session ends. Returns why it has ended.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionError> {
        let ending = self.session.ending();
        let ended = self.ended.get_or_insert_with(|| ending.ended());
        ended.as_mut().poll(cx).map(|()| {
            self.ended = None;
            let reason = self.session.reason().cloned();
            reason.unwrap_or(ConnectionError::LocallyClosed)
        })
    }
}

impl SendSide {
    /// Creates the end of a stream that is to begin with `header`: nothing if the peer opened it.
    pub(crate) fn new(session: &Arc<Session>, header: Bytes) -> Self {
        let session = UntilEnded::new(session);
        Self { session, header }
    }

    /// Writes as much of `chunks` as fits now, behind the header. Returns the bytes and the whole
    /// chunks that were written.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut quinn::SendStream,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(usize, usize), WriteError>> {
        // Also what fits would reach a peer that must get nothing more.
        if let Some(reason) = self.session.session.reason() {
            return Poll::Ready(Err(reason.clone().into()));
        }
        let written = match self.header.is_empty() {
            true => pin!(stream.write_chunks(chunks))
                .poll(cx)
                .map_ok(|written| (written.bytes, written.chunks)),
            false => self.poll_write_header(cx, stream, chunks),
        };
        match written {
            Poll::Ready(Ok(written)) => Poll::Ready(Ok(written)),
            Poll::Ready(Err(quinn::WriteError::Stopped(code))) => {
                Poll::Ready(Err(WriteError::Stopped(from_http3(code))))
            }
            Poll::Pending | Poll::Ready(Err(quinn::WriteError::ConnectionLost(_))) => {
                let ended = self.session.poll_ended(cx);
                ended.map(|reason| Err(reason.into()))
            }
            Poll::Ready(Err(other)) => Poll::Ready(Err(WriteError::from_quinn(other))),
        }
    }

    /// Writes the header and the chunks at once, so that they share a packet.
    fn poll_write_header(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut quinn::SendStream,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(usize, usize), quinn::WriteError>> {
        let before = self.header.len();
        let header = [mem::take(&mut self.header)];
        let mut all: Vec<Bytes> = header.into_iter().chain(chunks.iter().cloned()).collect();
        let written = pin!(stream.write_chunks(&mut all)).poll(cx);
        let mut rest = all.into_iter();
        self.header = rest.next().unwrap_or_default();
        for (chunk, rest) in chunks.iter_mut().zip(rest) {
            *chunk = rest;
        }
        let of_header = before - self.header.len();
        written.map_ok(|written| {
            let chunks = written.chunks.saturating_sub(1);
            (written.bytes - of_header, chunks)
        })
    }

    /// Writes the header of a stream that is finished before anything was written, if it fits.
    pub(crate) fn begin(&mut self, stream: &mut quinn::SendStream) {
        if !self.header.is_empty() {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = self.poll_write_header(&mut cx, stream, &mut []);
        }
    }

    /// Returns what waits for the end of the session beside another future.
    pub(crate) fn until_ended(&self) -> UntilEnded {
        UntilEnded::new(&self.session.session)
    }
}

impl RecvSide {
    pub(crate) fn new(session: &Arc<Session>) -> Self {
        let session = UntilEnded::new(session);
        Self { session }
    }

    /// Waits for a read, or for the end of the session. What has arrived is read first.
    pub(crate) async fn read<T>(
        &mut self,
        read: impl Future<Output = Result<T, quinn::ReadError>>,
    ) -> Result<T, ReadError> {
        let mut read = pin!(read);
        let mut lost = false;
        poll_fn(|cx| {
            if !lost {
                match read.as_mut().poll(cx) {
                    Poll::Ready(Ok(read)) => return Poll::Ready(Ok(read)),
                    Poll::Ready(Err(quinn::ReadError::Reset(code))) => {
                        return Poll::Ready(Err(ReadError::Reset(from_http3(code))));
                    }
                    Poll::Ready(Err(quinn::ReadError::ConnectionLost(_))) => lost = true,
                    Poll::Ready(Err(other)) => {
                        return Poll::Ready(Err(ReadError::from_quinn(other)));
                    }
                    Poll::Pending => {}
                }
            }
            let ended = self.session.poll_ended(cx);
            ended.map(|reason| Err(reason.into()))
        })
        .await
    }
}
