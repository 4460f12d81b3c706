//! [`RecvStream`]: the reading end of a stream.

use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use qsse_proto::Code;

use crate::error::ReadError;
use crate::quic::varint;

/// The reading end of a stream.
///
/// Chunks are slices of the receive buffer, uncopied; where one ends means nothing. A chunk that is
/// kept keeps its whole buffer alive, up to 64 KiB. Dropped before its end, the stream is stopped
/// with [`Code::NO_ERROR`].
#[derive(Debug)]
pub struct RecvStream {
    quinn: quinn::RecvStream,
}

impl RecvStream {
    pub(crate) fn new(quinn: quinn::RecvStream) -> Self {
        Self { quinn }
    }

    /// The next bytes of the stream; `None` at its end. Cancel-safe.
    ///
    /// # Errors
    /// When the peer reset the stream or the connection has ended. Bytes that have arrived before
    /// are read first when the connection has ended; a reset discards them.
    pub async fn read_chunk(&mut self) -> Result<Option<Bytes>, ReadError> {
        let mut chunk = [Bytes::new()];
        let read = self.read_chunks(&mut chunk).await?;
        let [chunk] = chunk;
        Ok(read.map(|_| chunk))
    }

    /// Fills `chunks` from its start with what has arrived and says how many it filled, at least
    /// one; `None` at the stream's end.
    ///
    /// One lock of the connection for several chunks. Cancel-safe.
    ///
    /// # Errors
    /// As [`read_chunk`](Self::read_chunk).
    pub async fn read_chunks(&mut self, chunks: &mut [Bytes]) -> Result<Option<usize>, ReadError> {
        Ok(self.quinn.read_chunks(chunks).await?)
    }

    /// [`read_chunks`](Self::read_chunks) for hand-written futures and streams: registers the task
    /// to be woken while nothing is there.
    ///
    /// # Errors
    /// As [`read_chunk`](Self::read_chunk).
    pub fn poll_read_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<Option<usize>, ReadError>> {
        // The future keeps nothing between polls, so a new one each time is the same one.
        pin!(self.read_chunks(chunks)).poll(cx)
    }

    /// Asks the peer to send no more and discards what has come. Later reads say that the stream
    /// has ended.
    pub fn stop(&mut self, code: Code) {
        let _ = self.quinn.stop(varint(code));
    }
}
