//! [`Reading`]: the stream that a subscription reads now.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use qsse_proto::go::LineError;
use qsse_proto::stream::{Decoder, Item};
use qsse_proto::{Code, DecodeError, Event, EventId, LentEvent};
use qsse_transport::{ReadError, RecvStream};
use tokio::task::coop;

use super::lines::Lines;

/// Chunks read under one lock of the connection.
const CHUNKS_PER_READ: usize = 16;

/// The stream that a subscription reads now, in the dialect of its connection.
#[expect(
    clippy::large_enum_variant,
    reason = "the usual one is the large one, and is read without a detour"
)]
pub(super) enum Reading {
    Frames(Frames),
    Lines(Lines),
}

/// A stream of `qsse/1`.
pub(super) struct Frames {
    /// The subscription's id on this connection.
    id: u32,
    stream: RecvStream,
    decoder: Decoder,
}

/// Why no more comes from a stream.
pub(super) enum StreamEnd {
    /// The server finished it, perhaps inside a frame or line.
    Finished,
    Read(ReadError),
    Decode(DecodeError),
    Line(LineError),
}

impl Reading {
    /// What the driver knows the stream by.
    pub(super) fn id(&self) -> u32 {
        match self {
            Self::Frames(frames) => frames.id,
            Self::Lines(lines) => lines.link,
        }
    }

    /// Tells the server that no more of it is wanted.
    pub(super) fn stop(self, code: Code) {
        let mut stream = match self {
            Self::Frames(frames) => frames.stream,
            Self::Lines(lines) => lines.stream,
        };
        stream.stop(code);
    }
}

impl Frames {
    pub(super) fn new(id: u32, stream: RecvStream, decoder: Decoder) -> Self {
        Self {
            id,
            stream,
            decoder,
        }
    }

    /// The next event, if it has come and nothing else is to be done.
    #[inline]
    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.decoder.next_event()
    }

    /// Goes on to the next event and [lends](Self::lent) it, if it has come and nothing else is to be done.
    #[inline]
    pub(super) fn lend_next(&mut self) -> Option<EventId> {
        self.decoder.lend_next().then(|| self.lent().id())
    }

    /// The event that the last [`lend_next`](Self::lend_next) went on to.
    #[inline]
    pub(super) fn lent(&self) -> LentEvent<'_> {
        self.decoder.lent().expect("it was gone on to")
    }

    /// The next item of the stream. Nothing is lost between two polls.
    pub(super) fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Result<Item, StreamEnd>> {
        loop {
            match self.decoder.next() {
                Ok(Some(item)) => return Poll::Ready(Ok(item)),
                Ok(None) => {
                    let Self {
                        stream, decoder, ..
                    } = self;
                    ready!(poll_read(stream, cx, |chunk| decoder.push(chunk)))?;
                }
                Err(error) => return Poll::Ready(Err(StreamEnd::Decode(error))),
            }
        }
    }
}

/// Reads what has come.
pub(super) fn poll_read(
    stream: &mut RecvStream,
    cx: &mut Context<'_>,
    push: impl FnMut(Bytes),
) -> Poll<Result<(), StreamEnd>> {
    // A consumer that always finds something gives other tasks their turn once in a while.
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
