//! [`Reading`]: the stream that a subscription reads now.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use qsse_proto::stream::{Decoder, Item};
use qsse_proto::{Code, DecodeError};
use qsse_transport::{ReadError, RecvStream};
use tokio::task::coop;

/// Chunks read under one lock of the connection.
const CHUNKS_PER_READ: usize = 16;

/// The stream that a subscription reads now.
pub(super) struct Reading {
    /// The subscription's id on this connection.
    pub(super) id: u32,
    stream: RecvStream,
    decoder: Decoder,
}

/// Why no more comes from a stream.
pub(super) enum StreamEnd {
    /// The server finished it, perhaps inside a frame.
    Finished,
    Read(ReadError),
    Decode(DecodeError),
}

impl Reading {
    pub(super) fn new(id: u32, stream: RecvStream, decoder: Decoder) -> Self {
        Self {
            id,
            stream,
            decoder,
        }
    }

    /// The next item of the stream. Nothing is lost between two polls.
    #[inline]
    pub(super) fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Result<Item, StreamEnd>> {
        loop {
            match self.decoder.next() {
                Ok(Some(item)) => return Poll::Ready(Ok(item)),
                Ok(None) => ready!(self.poll_read(cx))?,
                Err(error) => return Poll::Ready(Err(StreamEnd::Decode(error))),
            }
        }
    }

    /// Reads what has come.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamEnd>> {
        // A consumer that always finds something gives other tasks their turn once in a while.
        let budget = ready!(coop::poll_proceed(cx));
        let mut chunks = [const { Bytes::new() }; CHUNKS_PER_READ];
        let read = ready!(self.stream.poll_read_chunks(cx, &mut chunks));
        budget.made_progress();
        Poll::Ready(match read {
            Ok(Some(count)) => {
                chunks
                    .into_iter()
                    .take(count)
                    .for_each(|chunk| self.decoder.push(chunk));
                Ok(())
            }
            Ok(None) => Err(StreamEnd::Finished),
            Err(error) => Err(StreamEnd::Read(error)),
        })
    }

    /// Tells the server that no more of it is wanted.
    pub(super) fn stop(mut self, code: Code) {
        self.stream.stop(code);
    }
}
