//! The streams of a connection as `h3` sees them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use qsse_proto::Code;

use super::codes;
use super::frames::Frames;
use super::guard::Guard;
use super::head;
use crate::error::{ConnectionError, ReadError, WriteError};
use crate::recv::RecvStream;
use crate::send::SendStream;

/// The stream of a request as `h3` sees it.
pub(super) struct Bi {
    /// The stream itself, until it is taken.
    pub(super) stream: Option<(SendStream, Frames)>,
    pub(super) mailbox: Mailbox,
    sending: Sending,
    receiving: Receiving,
}

impl Bi {
    pub(super) fn new(send: SendStream, frames: Frames) -> Self {
        let (id, mailbox) = (send.id(), Mailbox::default());
        Self {
            sending: Sending {
                id,
                to: To::Mailbox(mailbox.clone()),
            },
            receiving: Receiving::Mailbox(id, mailbox.clone()),
            stream: Some((send, frames)),
            mailbox,
        }
    }
}

impl quic::BidiStream<Bytes> for Bi {
    type SendStream = Sending;
    type RecvStream = Receiving;

    fn split(self) -> (Sending, Receiving) {
        (self.sending, self.receiving)
    }
}

impl quic::SendStream<Bytes> for Bi {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.sending.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.sending.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.sending.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.sending.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.sending.send_id()
    }
}

impl quic::RecvStream for Bi {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.receiving.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.receiving.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.receiving.recv_id()
    }
}

/// A head for `h3` to read, and what it writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Mailbox(Arc<Mutex<Letters>>);

#[derive(Debug, Default)]
struct Letters {
    to_read: Bytes,
    written: BytesMut,
    reset: Option<u64>,
}

impl Mailbox {
    /// Lets `h3` read a head.
    pub(super) fn put(&self, head: &Bytes) {
        self.letters().to_read = head::headers(head);
    }

    /// Returns what was written, and the code if the stream is to be reset.
    pub(super) fn take(&self) -> (Bytes, Option<Code>) {
        let mut letters = self.letters();
        (
            letters.written.split().freeze(),
            letters.reset.map(Code::new),
        )
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sending end as `h3` sees it.
pub(super) struct Sending {
    id: u64,
    to: To,
}

impl Sending {
    /// A unidirectional stream. `begin` is written instead of the first bytes.
    pub(super) fn uni(stream: SendStream, begin: Option<Bytes>) -> Self {
        let id = stream.id();
        let queue = VecDeque::new();
        let to = To::Stream {
            stream,
            begin,
            queue,
        };
        Self { id, to }
    }
}

enum To {
    Mailbox(Mailbox),
    Stream {
        stream: SendStream,
        /// What to write instead of the first bytes.
        begin: Option<Bytes>,
        queue: VecDeque<Bytes>,
    },
}

impl quic::SendStream<Bytes> for Sending {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        match &mut self.to {
            To::Mailbox(_) => Poll::Ready(Ok(())),
            To::Stream { stream, queue, .. } => {
                let written = stream.poll_write_whole_queue(cx, queue);
                written.map_err(|error| match error {
                    WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated {
                        error_code: code.get(),
                    },
                    WriteError::Connection(error) => of_connection(error),
                    WriteError::Finished => StreamErrorIncoming::Unknown(Box::new(error)),
                })
            }
        }
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        let mut data = data.into();
        match &mut self.to {
            To::Mailbox(mailbox) => mailbox.letters().written.put(data),
            To::Stream { begin, queue, .. } => {
                let bytes = begin
                    .take()
                    .unwrap_or_else(|| data.copy_to_bytes(data.remaining()));
                queue.push_back(bytes);
            }
        }
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if let To::Stream { stream, .. } = &mut self.to {
            stream.finish();
        }
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, code: u64) {
        match &mut self.to {
            To::Mailbox(mailbox) => mailbox.letters().reset = Some(code),
            To::Stream { stream, .. } => stream.reset(Code::new(code)),
        }
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.id)
    }
}

/// A receiving end as `h3` sees it.
pub(super) enum Receiving {
    /// Of a request: its number, and its head.
    Mailbox(u64, Mailbox),
    Uni(Uni),
}

/// A unidirectional stream.
pub(super) struct Uni {
    id: u64,
    stream: RecvStream,
    /// What was read to know the kind.
    first: Bytes,
    guard: Option<Guard>,
    ended: bool,
}

impl Uni {
    /// `first` was read already. If there is a guard, the stream continues with frames.
    pub(super) fn new(stream: RecvStream, first: Bytes, guard: Option<Guard>) -> Self {
        Self {
            id: stream.id(),
            stream,
            first,
            guard,
            ended: false,
        }
    }

    fn stop(&mut self, code: Code) {
        if !std::mem::replace(&mut self.ended, true) {
            self.stream.stop(code);
        }
    }

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if !self.first.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.first))));
        }
        let mut chunk = [Bytes::new()];
        let read = ready!(self.stream.poll_read_chunks(cx, &mut chunk));
        let [chunk] = chunk;
        self.ended = !matches!(read, Ok(Some(_)));
        Poll::Ready(match read {
            Ok(Some(_)) => match self.guard.as_mut().map(|guard| guard.follow(&chunk)) {
                Some(Err(error)) => {
                    self.stop(codes::EXCESSIVE_LOAD);
                    Err(StreamErrorIncoming::Unknown(Box::new(error)))
                }
                _ => Ok(Some(chunk)),
            },
            Ok(None) => Ok(None),
            Err(ReadError::Reset(code)) => Err(StreamErrorIncoming::StreamTerminated {
                error_code: code.get(),
            }),
            Err(ReadError::Connection(error)) => Err(of_connection(error)),
        })
    }
}

impl Drop for Uni {
    fn drop(&mut self) {
        self.stop(codes::NO_ERROR);
    }
}

impl quic::RecvStream for Receiving {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        match self {
            Self::Mailbox(_, mailbox) => {
                let head = std::mem::take(&mut mailbox.letters().to_read);
                Poll::Ready(Ok(Some(head).filter(|head| !head.is_empty())))
            }
            Self::Uni(uni) => uni.poll_data(cx),
        }
    }

    fn stop_sending(&mut self, code: u64) {
        if let Self::Uni(uni) = self {
            uni.stop(Code::new(code));
        }
    }

    fn recv_id(&self) -> StreamId {
        stream_id(match self {
            Self::Mailbox(id, _) => *id,
            Self::Uni(uni) => uni.id,
        })
    }
}

fn stream_id(id: u64) -> StreamId {
    StreamId::try_from(id).expect("ids of streams have at most 62 bits")
}

pub(super) fn of_connection(error: ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming {
        connection_error: incoming(error),
    }
}

pub(super) fn incoming(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::Closed { code, .. } => ConnectionErrorIncoming::ApplicationClose {
            error_code: code.get(),
        },
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        other => ConnectionErrorIncoming::Undefined(Arc::new(other)),
    }
}
