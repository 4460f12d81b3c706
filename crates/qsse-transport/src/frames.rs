//! Frames over streams: [`FrameReader`] and [`FrameWriter`].

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use qsse_proto::Code;
use qsse_proto::frame::{Decoder, Frame, Unfinished};

use crate::error::{FrameError, ReadError, WriteError};
use crate::recv::RecvStream;
use crate::send::SendStream;

/// How many chunks are read under one lock of the connection.
const CHUNKS_PER_READ: usize = 8;

/// Reads frames from a stream.
#[derive(Debug)]
pub struct FrameReader {
    stream: RecvStream,
    decoder: Decoder,
}

impl FrameReader {
    /// Creates a reader of frames whose kind and body have at most `max_len` bytes.
    pub fn new(stream: RecvStream, max_len: usize) -> Self {
        Self {
            stream,
            decoder: Decoder::new(max_len),
        }
    }

    /// Returns the next frame; `None` if the stream ended between two frames.
    ///
    /// Cancel-safe: a partly read frame stays for the next call.
    ///
    /// # Errors
    /// The bytes are not a frame, or a frame is over the limit (checked before memory is allocated
    /// for it). The stream ended inside a frame, was reset, or its connection ended. After an error
    /// the reader is unusable.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(frame) = self.decoder.next()? {
                return Ok(Some(frame));
            }
            if !self.read_more().await? {
                return Ok(None);
            }
        }
    }

    /// Waits until more of the stream has arrived. Returns `false` if the stream ended between two
    /// frames. [`next_buffered`](Self::next_buffered) then returns what is complete, and
    /// [`unfinished`](Self::unfinished) what is not.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The stream ended inside a frame, was reset, or its connection ended. After an error the
    /// reader is unusable.
    pub async fn read_more(&mut self) -> Result<bool, FrameError> {
        match poll_fn(|cx| self.poll_read(cx)).await? {
            true => Ok(true),
            false if self.decoder.is_empty() => Ok(false),
            false => Err(FrameError::Truncated),
        }
    }

    /// Returns the frame whose beginning has arrived; see [`Decoder::unfinished`].
    pub fn unfinished(&self) -> Option<Unfinished<'_>> {
        self.decoder.unfinished()
    }

    /// Drops the frame whose beginning has arrived; see [`Decoder::skip_unfinished`].
    pub fn skip_unfinished(&mut self) {
        self.decoder.skip_unfinished();
    }

    /// Returns how many bytes of an unfinished frame are stored; see [`Decoder::stored`].
    pub fn stored(&self) -> usize {
        self.decoder.stored()
    }

    /// Passes what has arrived to the decoder; `false` at the stream's end. It is not `async`, so
    /// that the chunks are not part of a future.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ReadError>> {
        let mut chunks = [const { Bytes::new() }; CHUNKS_PER_READ];
        let read = ready!(self.stream.poll_read_chunks(cx, &mut chunks))?;
        for chunk in chunks.into_iter().take(read.unwrap_or(0)) {
            self.decoder.push(chunk);
        }
        Poll::Ready(Ok(read.is_some()))
    }

    /// Returns the next frame if it has already arrived. Does not wait.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next), except the stream's own.
    pub fn next_buffered(&mut self) -> Result<Option<Frame>, FrameError> {
        Ok(self.decoder.next()?)
    }

    /// Changes the limit for the frames that follow, for example after the peer was authenticated.
    pub fn set_max_len(&mut self, max_len: usize) {
        self.decoder.set_max_len(max_len);
    }

    /// Asks the peer to stop sending; see [`RecvStream::stop`].
    pub fn stop(&mut self, code: Code) {
        self.stream.stop(code);
    }
}

/// Writes frames to a stream, each completely or not at all.
///
/// A frame waits in a queue until the stream accepts it. If [`send`](Self::send) or
/// [`flush`](Self::flush) is cancelled, the rest stays in the queue and the next call writes it.
/// Frames are therefore never torn or mixed.
#[derive(Debug)]
pub struct FrameWriter {
    stream: SendStream,
    queue: VecDeque<Bytes>,
}

impl FrameWriter {
    /// Creates a writer to `stream`.
    pub fn new(stream: SendStream) -> Self {
        Self {
            stream,
            // One frame is usual. The default growth would allocate room for four.
            queue: VecDeque::with_capacity(1),
        }
    }

    /// Queues an encoded frame and writes the whole queue. Returns once the stream has accepted
    /// everything.
    ///
    /// If cancelled, the frame stays in the queue, and the next `send` or `flush` writes it. Do not
    /// send it again.
    ///
    /// # Errors
    /// The peer stopped the stream, the stream is finished, or the connection has ended.
    pub async fn send(&mut self, frame: Bytes) -> Result<(), WriteError> {
        self.queue(frame);
        self.flush().await
    }

    /// Queues an encoded frame without writing it. The next [`flush`](Self::flush) writes all
    /// queued frames together.
    pub fn queue(&mut self, frame: Bytes) {
        self.queue.push_back(frame);
    }

    /// Returns how many frames are queued, including a partly written one.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Writes what is queued. Returns once the stream has accepted everything. Cancel-safe.
    ///
    /// # Errors
    /// The peer stopped the stream, the stream is finished, or the connection has ended.
    pub async fn flush(&mut self) -> Result<(), WriteError> {
        self.stream.write_whole_queue(&mut self.queue).await
    }

    /// Ends the stream; see [`SendStream::finish`]. Flush first: with frames in the queue the
    /// stream is reset instead, because the reader could take a torn frame for the end.
    pub fn finish(&mut self) {
        if self.queue.is_empty() {
            self.stream.finish();
        } else {
            self.stream.reset(Code::UNKNOWN);
        }
    }

    /// Abandons the stream; see [`SendStream::reset`].
    pub fn reset(&mut self, code: Code) {
        self.queue.clear();
        self.stream.reset(code);
    }

    /// Returns the stream, for its priority or to wait until the peer stops it.
    pub fn stream(&self) -> &SendStream {
        &self.stream
    }
}
