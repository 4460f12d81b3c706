//! [`RecvStream`]: the receiving end of a stream.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use qsse_proto::Code;

use crate::error::ReadError;
use crate::quic::varint;
use crate::session::{RecvSide, Session, to_http3};

/// The receiving end of a stream.
///
/// Chunks are slices of the receive buffer, without a copy. Their boundaries have no meaning. A
/// chunk keeps its whole buffer alive, up to 64 KiB. If the stream is dropped before its end, it is
/// stopped with [`Code::NO_ERROR`].
pub struct RecvStream {
    quinn: quinn::RecvStream,
    /// Set if the stream belongs to a WebTransport session.
    session: Option<Box<RecvSide>>,
}

impl fmt::Debug for RecvStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvStream")
            .field("quinn", &self.quinn)
            .finish_non_exhaustive()
    }
}

impl RecvStream {
    pub(crate) fn new(quinn: quinn::RecvStream) -> Self {
        let session = None;
        Self { quinn, session }
    }

    /// Makes it a stream of a session, whose header has been read.
    pub(crate) fn within(mut self, session: &Arc<Session>) -> Self {
        self.session = Some(Box::new(RecvSide::new(session)));
        self
    }

    /// Returns the number of the stream.
    #[cfg(feature = "http3")]
    pub(crate) fn id(&self) -> u64 {
        quinn::VarInt::from(self.quinn.id()).into_inner()
    }

    /// Reads bytes until `all` is full. Not cancel-safe.
    #[cfg(feature = "http3")]
    pub(crate) async fn read_exact(&mut self, all: &mut [u8]) -> Result<(), quinn::ReadExactError> {
        self.quinn.read_exact(all).await
    }

    /// Returns the next bytes of the stream; `None` at its end. Cancel-safe.
    ///
    /// # Errors
    /// The peer reset the stream, or the connection has ended. After the connection has ended,
    /// bytes that arrived earlier are returned first; a reset discards them.
    pub async fn read_chunk(&mut self) -> Result<Option<Bytes>, ReadError> {
        let mut chunk = [Bytes::new()];
        let read = self.read_chunks(&mut chunk).await?;
        let [chunk] = chunk;
        Ok(read.map(|_| chunk))
    }

    /// Fills `chunks` from the front with what has arrived. Returns how many it filled, at least
    /// one; `None` at the stream's end.
    ///
    /// Reads several chunks under one lock of the connection. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`read_chunk`](Self::read_chunk).
    pub async fn read_chunks(&mut self, chunks: &mut [Bytes]) -> Result<Option<usize>, ReadError> {
        let read = self.quinn.read_chunks(chunks);
        match &mut self.session {
            None => read.await.map_err(ReadError::from_quinn),
            Some(session) => session.read(read).await,
        }
    }

    /// Does the same as [`read_chunks`](Self::read_chunks), for hand-written futures and streams.
    /// Registers the task to be woken while no data is available.
    ///
    /// # Errors
    /// Those of [`read_chunk`](Self::read_chunk).
    pub fn poll_read_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<Option<usize>, ReadError>> {
        // The future holds no state, so recreating it on each poll is fine.
        pin!(self.read_chunks(chunks)).poll(cx)
    }

    /// Asks the peer to stop sending, and discards what has arrived. Later reads report that the
    /// stream has ended.
    pub fn stop(&mut self, code: Code) {
        let code = match self.session {
            None => varint(code),
            Some(_) => to_http3(code),
        };
        let _ = self.quinn.stop(code);
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        // quinn would stop it with 0, which is no code of a session.
        if self.session.is_some() {
            self.stop(Code::NO_ERROR);
        }
    }
}
