//! Reading the chunks of a stream, and why it ends.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use qsse_proto::DecodeError;
use qsse_proto::go::LineError;
use qsse_transport::{ReadError, RecvStream};
use tokio::task::coop;

/// How many chunks are read under one lock of the connection.
const CHUNKS_PER_READ: usize = 16;

/// Why a stream yields no more.
pub(super) enum StreamEnd {
    /// The server finished it, perhaps within a frame or line.
    Finished,
    Read(ReadError),
    Decode(DecodeError),
    Line(LineError),
}

/// Waits until chunks arrive, and passes them to `push`.
pub(super) fn poll_read(
    stream: &mut RecvStream,
    cx: &mut Context<'_>,
    push: impl FnMut(Bytes),
) -> Poll<Result<(), StreamEnd>> {
    // A consumer for whom data is always ready yields to other tasks once in a while.
    let budget = ready!(coop::poll_proceed(cx));
    let mut chunks = [const { Bytes::new() }; CHUNKS_PER_READ];
    let read = ready!(stream.poll_read_chunks(cx, &mut chunks));
    budget.made_progress();
    Poll::Ready(match read {
        Ok(Some(count)) => {
            chunks.into_iter().take(count).for_each(push);
            Ok(())
        }
        Ok(None) => Err(StreamEnd::Finished),
        Err(error) => Err(StreamEnd::Read(error)),
    })
}
