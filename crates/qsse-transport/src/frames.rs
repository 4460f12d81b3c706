//! Frames over streams: [`FrameReader`] and [`FrameWriter`].

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use qsse_proto::Code;
use qsse_proto::frame::{Decoder, Frame};

use crate::error::{FrameError, ReadError, WriteError};
use crate::recv::RecvStream;
use crate::send::SendStream;

/// Chunks read under one lock of the connection.
const CHUNKS_PER_READ: usize = 8;

/// Reads frames from a stream.
#[derive(Debug)]
pub struct FrameReader {
    stream: RecvStream,
    decoder: Decoder,
}

impl FrameReader {
    /// Reads frames whose kind and body are at most `max_len` bytes.
    pub fn new(stream: RecvStream, max_len: usize) -> Self {
        Self {
            stream,
            decoder: Decoder::new(max_len),
        }
    }

    /// The next frame; `None` when the stream has ended between two frames.
    ///
    /// Cancel-safe: what has been read of a frame is kept for the next call.
    ///
    /// # Errors
    /// When the bytes are no frame or one over the limit, before anything is allocated for it; when
    /// the stream ends inside a frame, is reset, or its connection ends. The reader is of no use
    /// afterwards.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(frame) = self.decoder.next()? {
                return Ok(Some(frame));
            }
            match poll_fn(|cx| self.poll_read(cx)).await? {
                true => {}
                false if self.decoder.is_empty() => return Ok(None),
                false => return Err(FrameError::Truncated),
            }
        }
    }

    /// Gives the decoder what has come; `false` at the stream's end. Not `async`, so that the chunks are not part of a future.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ReadError>> {
        let mut chunks = [const { Bytes::new() }; CHUNKS_PER_READ];
        let read = ready!(self.stream.poll_read_chunks(cx, &mut chunks))?;
        for chunk in chunks.into_iter().take(read.unwrap_or(0)) {
            self.decoder.push(chunk);
        }
        Poll::Ready(Ok(read.is_some()))
    }

    /// The next frame if it has come in already, without waiting.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), but for those of the stream.
    pub fn next_buffered(&mut self) -> Result<Option<Frame>, FrameError> {
        Ok(self.decoder.next()?)
    }

    /// Changes the limit for the frames that follow, for instance once the peer has been
    /// authenticated.
    pub fn set_max_len(&mut self, max_len: usize) {
        self.decoder.set_max_len(max_len);
    }

    /// Asks the peer to send no more, see [`RecvStream::stop`].
    pub fn stop(&mut self, code: Code) {
        self.stream.stop(code);
    }
}

/// Writes frames to a stream, each whole or not at all.
///
/// A frame handed over waits in a queue until the stream takes it. A cancelled [`send`](Self::send)
/// or [`flush`](Self::flush) leaves the rest there, and the next call goes on with it: frames are
/// never torn or mixed.
#[derive(Debug)]
pub struct FrameWriter {
    stream: SendStream,
    queue: VecDeque<Bytes>,
}

impl FrameWriter {
    /// Writes to `stream`.
    pub fn new(stream: SendStream) -> Self {
        Self {
            stream,
            // Mostly there is one, and room for four would be made otherwise.
            queue: VecDeque::with_capacity(1),
        }
    }

    /// Writes an encoded frame, behind those queued before; returns once the stream has taken them
    /// all.
    ///
    /// When cancelled, the frame is queued and goes with the next `send` or `flush`; do not send it
    /// again.
    ///
    /// # Errors
    /// When the peer stopped the stream, it is finished, or the connection has ended.
    pub async fn send(&mut self, frame: Bytes) -> Result<(), WriteError> {
        self.queue(frame);
        self.flush().await
    }

    /// Puts an encoded frame into the queue without writing: the next [`flush`](Self::flush) takes
    /// several in one go.
    pub fn queue(&mut self, frame: Bytes) {
        self.queue.push_back(frame);
    }

    /// Frames, the partly written one included, that wait in the queue.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Writes what is queued; returns once the stream has taken it all. Cancel-safe.
    ///
    /// # Errors
    /// When the peer stopped the stream, it is finished, or the connection has ended.
    pub async fn flush(&mut self) -> Result<(), WriteError> {
        self.stream.write_whole_queue(&mut self.queue).await
    }

    /// Says that nothing more will be written, see [`SendStream::finish`]. Flush first: a queue
    /// that is not empty resets the stream instead, because the reader could take a torn frame for
    /// the end.
    pub fn finish(&mut self) {
        if self.queue.is_empty() {
            self.stream.finish();
        } else {
            self.stream.reset(Code::UNKNOWN);
        }
    }

    /// Abandons the stream, see [`SendStream::reset`].
    pub fn reset(&mut self, code: Code) {
        self.queue.clear();
        self.stream.reset(code);
    }

    /// The stream below, for its priority or to wait until it is stopped.
    pub fn stream(&self) -> &SendStream {
        &self.stream
    }
}
