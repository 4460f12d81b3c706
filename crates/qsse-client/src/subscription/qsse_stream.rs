//! [`QsseStream`]: a stream of `qsse/1`.

use std::task::{Context, Poll, ready};

use qsse_proto::stream::{Decoder, Item};
use qsse_proto::{Event, EventId, LentEvent};
use qsse_transport::RecvStream;

use super::read::{StreamEnd, poll_read};

/// A stream of `qsse/1`.
pub(super) struct QsseStream {
    /// The subscription's id on this connection.
    pub(super) id: u32,
    pub(super) stream: RecvStream,
    decoder: Decoder,
}

impl QsseStream {
    pub(super) fn new(id: u32, stream: RecvStream, decoder: Decoder) -> Self {
        Self {
            id,
            stream,
            decoder,
        }
    }

    /// Returns the next event if it has arrived and no other item comes before it.
    #[inline]
    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.decoder.next_event()
    }

    /// Advances to the next event if it has arrived and no other item comes before it.
    /// [`lent`](Self::lent) then returns it.
    #[inline]
    pub(super) fn lend_next(&mut self) -> Option<EventId> {
        self.decoder.lend_next().then(|| self.lent().id())
    }

    /// Returns the event to which [`lend_next`](Self::lend_next) advanced.
    #[inline]
    pub(super) fn lent(&self) -> LentEvent<'_> {
        self.decoder.lent().expect("lend_next advanced to an event")
    }

    /// Waits for the next item. Nothing is lost between two polls.
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
