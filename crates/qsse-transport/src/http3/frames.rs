//! [`Frames`]: the frames of a request or an answer.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use qsse_proto::Code;

use super::codes;
use super::error::RequestError;
use super::varint::{self, Integer};
use crate::connection::Connection;
use crate::error::ReadError;
use crate::recv::RecvStream;

const DATA: u64 = 0x0;
const HEADERS: u64 = 0x1;

/// What belongs on the control stream, to HTTP/2, or to pushed answers, and the frame with which a
/// stream of a WebTransport session begins. All others have no meaning and are skipped.
const FORBIDDEN: [u64; 10] = [0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0x9, 0xd, 0x41];

/// The frames of a request or an answer: one with its head, then those with its body, perhaps one
/// with trailers. Data is passed on as it comes; nothing else than a head is kept.
///
/// What breaks these rules closes the connection, as RFC 9114 demands. Dropping this tells the peer
/// that no more is read.
#[derive(Debug)]
pub(super) struct Frames {
    connection: Connection,
    stream: RecvStream,
    /// What has arrived and was not looked at.
    chunk: Bytes,
    integer: Integer,
    at: At,
    /// How many heads there were: trailers are the second.
    heads: u8,
    ended: bool,
    unwanted: Code,
}

#[derive(Debug)]
enum At {
    Kind,
    Length { kind: u64 },
    Head { left: usize, begun: BytesMut },
    Data { left: u64 },
    Skipped { left: u64 },
}

/// A part of a request or an answer.
#[derive(Debug)]
pub(super) enum Part {
    /// A whole head, still encoded.
    Head(Bytes),
    /// Some bytes of the body.
    Data(Bytes),
}

impl Frames {
    /// Reads a stream from its beginning. `unwanted` is what the peer is told if the rest is not
    /// read.
    pub(super) fn new(connection: &Connection, stream: RecvStream, unwanted: Code) -> Self {
        Self {
            connection: connection.clone(),
            stream,
            chunk: Bytes::new(),
            integer: Integer::default(),
            at: At::Kind,
            heads: 0,
            ended: false,
            unwanted,
        }
    }

    /// Reads a stream from where it has told the kind of its first frame.
    pub(super) fn after_kind(mut self, kind: u64) -> Result<Self, RequestError> {
        self.kind(kind)?;
        Ok(self)
    }

    /// Returns the next part; `None` at the end. A head has at most `limit` bytes.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Result<Option<Part>, RequestError>> {
        loop {
            while !self.chunk.is_empty() {
                if let Some(part) = self.step(limit)? {
                    return Poll::Ready(Ok(Some(part)));
                }
            }
            if !ready!(self.poll_chunk(cx))? {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// Reads more. Returns `false` at the end.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, RequestError>> {
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        let mut chunk = [Bytes::new()];
        let read = ready!(self.stream.poll_read_chunks(cx, &mut chunk));
        self.ended = !matches!(read, Ok(Some(_)));
        [self.chunk] = chunk;
        Poll::Ready(match read {
            Ok(None) if !matches!(self.at, At::Kind) || !self.integer.is_empty() => {
                Err(self.close(codes::FRAME_ERROR, "a stream ended inside a frame"))
            }
            Ok(read) => Ok(read.is_some()),
            Err(ReadError::Reset(code)) => Err(RequestError::Cancelled(code)),
            Err(ReadError::Connection(error)) => Err(error.into()),
        })
    }

    /// Looks at some of the bytes that have arrived.
    fn step(&mut self, limit: usize) -> Result<Option<Part>, RequestError> {
        match &mut self.at {
            At::Kind => {
                if let Some(kind) = self.integer.push(self.chunk.get_u8()) {
                    self.kind(kind)?;
                }
            }
            At::Length { kind } => {
                let kind = *kind;
                if let Some(length) = self.integer.push(self.chunk.get_u8()) {
                    return self.length(kind, length, limit);
                }
            }
            At::Head { left, begun } => {
                let some = self.chunk.split_to(self.chunk.len().min(*left));
                *left -= some.len();
                let whole = match begun.is_empty() && *left == 0 {
                    true => some,
                    false => {
                        begun.extend_from_slice(&some);
                        if *left > 0 {
                            return Ok(None);
                        }
                        begun.split().freeze()
                    }
                };
                self.at = At::Kind;
                return Ok(Some(Part::Head(whole)));
            }
            At::Data { left } => {
                let some = take(&mut self.chunk, left);
                if *left == 0 {
                    self.at = At::Kind;
                }
                return Ok(Some(Part::Data(some)));
            }
            At::Skipped { left } => {
                take(&mut self.chunk, left);
                if *left == 0 {
                    self.at = At::Kind;
                }
            }
        }
        Ok(None)
    }

    fn kind(&mut self, kind: u64) -> Result<(), RequestError> {
        let expected = match kind {
            DATA => self.heads == 1,
            HEADERS => self.heads < 2,
            other => !FORBIDDEN.contains(&other),
        };
        if !expected {
            let reason = format!("a frame of kind {kind:#x} where it may not be");
            return Err(self.close(codes::FRAME_UNEXPECTED, &reason));
        }
        self.heads += u8::from(kind == HEADERS);
        self.at = At::Length { kind };
        Ok(())
    }

    fn length(
        &mut self,
        kind: u64,
        length: u64,
        limit: usize,
    ) -> Result<Option<Part>, RequestError> {
        self.at = match (kind, length) {
            (HEADERS, 0) => {
                self.at = At::Kind;
                return Ok(Some(Part::Head(Bytes::new())));
            }
            (HEADERS, length) => match usize::try_from(length).ok().filter(|left| *left <= limit) {
                Some(left) => At::Head {
                    left,
                    begun: BytesMut::new(),
                },
                None => {
                    return Err(RequestError::HeadTooLong {
                        bytes: length,
                        limit: limit as u64,
                    });
                }
            },
            (_, 0) => At::Kind,
            (DATA, left) => At::Data { left },
            (_, left) => At::Skipped { left },
        };
        Ok(None)
    }

    fn close(&mut self, code: Code, reason: &str) -> RequestError {
        self.connection.close(code, reason);
        RequestError::Malformed(reason.into())
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        if !self.ended {
            self.stream.stop(self.unwanted);
        }
    }
}

/// Takes at most `left` bytes, and counts them.
fn take(chunk: &mut Bytes, left: &mut u64) -> Bytes {
    let length = varint::at_most(chunk.len(), *left);
    *left -= length as u64;
    chunk.split_to(length)
}
