//! [`Subscription`]: the events of a filter, as a stream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use qsse_proto::stream::{self, Outcome};
use qsse_proto::{Code, Cursor, Epoch, Event};
use qsse_topic::Filter;

use crate::core::Handle;
use crate::error::SubscriptionError;
use crate::notice::{Item, OnNotice};
use crate::slot::{AtomicCursor, End, GO_EPOCH, NewStream, Next, Slot};

mod active_stream;
mod builder;
mod go_stream;
mod items;
mod lending;
mod position;
mod qsse_stream;
mod read;
mod switch;

use active_stream::ActiveStream;
pub use builder::Subscribe;
use go_stream::GoItem;
pub use items::Items;

/// The events that a filter matches, in order, each once. Made by
/// [`Client::subscribe`](crate::Client::subscribe) and
/// [`Connect::subscribe`](crate::Connect::subscribe).
///
/// It is a [`Stream`] of `Result<Event, SubscriptionError>`, with its own [`next`](Self::next) and
/// [`try_next`](Self::try_next). After an error it only yields `None`. If this side closes the
/// client, its subscriptions end without an error, once they have read what has arrived.
///
/// If the server no longer has some events, the subscription reports a [notice](crate::Notice) and
/// continues: a [gap](crate::Notice::Gap), or a [reset](crate::Notice::Reset) if the server has
/// another log. Notices are logged; [`on_notice`](Subscribe::on_notice) sets another function for
/// them, and [`next_item`](Self::next_item) yields them among the events.
///
/// A lost connection is not an error: once the client has reconnected, the subscription resumes
/// after the last event that it handed out. In the Go library's [`Dialect`](crate::Dialect) this is
/// not possible, and the notice is [`Lost`](crate::Notice::Lost).
///
/// Events are read and decoded in the task that asks for them, so a subscription that nobody reads
/// does not delay others. The server fills its stream window
/// ([`stream_receive_window`](crate::TransportConfig#structfield.stream_receive_window))
/// and then treats it as [lagging](crate::OnLag). An event keeps its receive buffer alive;
/// [`Event::into_owned`] copies it out.
///
/// A subscription keeps its connection alive. Dropping it unsubscribes.
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    handle: Arc<Handle>,
    slot: Arc<Slot>,
    stream: Option<ActiveStream>,
    /// The slot's cursor, so that an event needs no lock.
    cursor: Option<Arc<AtomicCursor>>,
    /// The epoch of the next items of the stream.
    epoch: Epoch,
    /// Set while the stream may be of a server that does not know the cursor, because it was
    /// requested from an earlier position: the epoch of that position.
    unsure: Option<Epoch>,
    /// The event that is lent, unless it is in the stream's decoder.
    lent: Option<Event>,
    on_notice: OnNotice,
    ended: bool,
}

impl Subscription {
    pub(crate) fn new(handle: Arc<Handle>, slot: Arc<Slot>, on_notice: OnNotice) -> Self {
        Self {
            handle,
            slot,
            stream: None,
            cursor: None,
            epoch: GO_EPOCH,
            unsure: None,
            lent: None,
            on_notice,
            ended: false,
        }
    }

    /// Waits for the next event and returns it; returns `None` once the subscription has ended.
    ///
    /// Cancel-safe: no event is lost when the future is dropped.
    ///
    /// # Errors
    /// A [`SubscriptionError`] ends the subscription. Gaps and other [notices](crate::Notice) are
    /// passed to the function of [`on_notice`](Subscribe::on_notice).
    pub async fn next(&mut self) -> Option<Result<Event, SubscriptionError>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Does what [`next`](Self::next) does, in the form for the `?` operator.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// A [`SubscriptionError`] ends the subscription.
    pub async fn try_next(&mut self) -> Result<Option<Event>, SubscriptionError> {
        self.next().await.transpose()
    }

    /// Returns what [`next`](Self::next) would return without waiting; the outer `None` means that
    /// nothing has arrived.
    ///
    /// For programs that write events and flush when no further one is ready.
    pub fn next_ready(&mut self) -> Option<Option<Result<Event, SubscriptionError>>> {
        match self.poll_event(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(item) => Some(item),
            Poll::Pending => None,
        }
    }

    /// Returns the subscription's position: everything up to it has been handed out. It is valid
    /// before the first event and after the end. A new subscription that starts there continues
    /// this one.
    ///
    /// An event moves it when it is handed out. A server's heartbeat moves it too, when the next
    /// event is asked for. A gap does not move it, but the next event does. A reset moves it to
    /// where the server's log begins.
    pub fn cursor(&self) -> Cursor {
        let position = self.slot.position();
        Cursor::after(position.expect("a subscription is returned once it is confirmed"))
    }

    /// Waits for how the server met the start and returns it: [live](Outcome::Live),
    /// [resumed](Outcome::Resumed) as requested, with a [gap](Outcome::Gap), or with a
    /// [reset](Outcome::Reset), because the server's log does not contain the position. Returns
    /// `None` if the subscription ended before this was known.
    ///
    /// It arrives with the beginning of the subscription's stream, soon after the confirmation. It
    /// does not change: each gap and reset, including those of the start and of later reconnects,
    /// is also reported among the events. In the Go library's [`Dialect`](crate::Dialect) it is
    /// always live. Takes no event; cancel-safe.
    ///
    /// ```
    /// # use qsse_client::{Client, Outcome, Start};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = qsse_server::TestServer::start().await?;
    /// # let client = Client::connect(server.url()).await?;
    /// let mut rides = client.subscribe("ride.*").start(Start::Earliest).await?;
    /// assert_eq!(rides.outcome().await, Some(Outcome::Resumed));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn outcome(&mut self) -> Option<Outcome> {
        poll_fn(|cx| match self.slot.poll_outcome(cx) {
            // The end was taken out of the slot, so nothing would wake this.
            Poll::Pending if self.ended => Poll::Ready(None),
            outcome => outcome,
        })
        .await
    }

    /// Returns the patterns subscribed to, in normal form.
    pub fn filter(&self) -> &Filter {
        &self.slot.filter
    }

    /// Ends the subscription, as dropping it does.
    pub fn unsubscribe(self) {}

    /// Returns an event that has arrived. This is the hot path, so everything else is a call.
    #[inline]
    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, SubscriptionError>>> {
        if let Some(ActiveStream::Qsse(stream)) = &mut self.stream
            && let Some(event) = stream.next_event()
            && self.advance(event.id())
        {
            return Poll::Ready(Some(Ok(event)));
        }
        self.poll_past_notices(cx)
    }

    /// Waits for the next event, and passes the notices before it to their function.
    fn poll_past_notices(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, SubscriptionError>>> {
        loop {
            match ready!(self.poll_item(cx)) {
                Some(Ok(Item::Event(event))) => return Poll::Ready(Some(Ok(event))),
                Some(Ok(Item::Notice(notice))) => (self.on_notice)(&notice),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// Waits for the next event or notice.
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Item, SubscriptionError>>> {
        while !self.ended {
            let item = match &self.stream {
                Some(_) => ready!(self.poll_stream(cx)),
                None => ready!(self.poll_next_stream(cx)),
            };
            if item.is_some() {
                return Poll::Ready(item);
            }
        }
        Poll::Ready(None)
    }

    /// Waits for the next stream and begins it. Returns what to report before its first item.
    fn poll_next_stream(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Item, SubscriptionError>>> {
        let notice = match ready!(self.slot.poll_next(cx)) {
            Next::Stream(NewStream::Qsse(stream)) => self.begin_qsse(*stream),
            Next::Stream(NewStream::Go { link, stream }) => {
                self.begin_go(link, stream);
                None
            }
            Next::Notice(notice) => Some(notice),
            Next::End(End::Error(error)) => return Poll::Ready(Some(Err(self.end(error)))),
            Next::End(End::Quiet) => {
                self.ended = true;
                None
            }
        };
        Poll::Ready(notice.map(|notice| Ok(Item::Notice(notice))))
    }

    /// Waits for the next item of the stream. Returns what it means for the caller, if anything.
    fn poll_stream(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Item, SubscriptionError>>> {
        Poll::Ready(match &mut self.stream {
            Some(ActiveStream::Qsse(stream)) => match ready!(stream.poll_item(cx)) {
                Ok(item) => self.qsse_item(item).map(Ok),
                Err(end) => self.stream_ended(end).map(Err),
            },
            Some(ActiveStream::Go(stream)) => {
                match ready!(stream.poll_item(cx, self.slot.offered())) {
                    Ok(GoItem::Event(event)) => self.event(event).map(Item::Event).map(Ok),
                    Ok(GoItem::Notice(notice)) => Some(Ok(Item::Notice(notice))),
                    Ok(GoItem::Refused(error)) => Some(Err(self.end(error))),
                    Err(end) => self.stream_ended(end).map(Err),
                }
            }
            None => None,
        })
    }

    /// Applies an item of a `qsse/1` stream. Returns what it means for the caller, if anything.
    fn qsse_item(&mut self, item: stream::Item) -> Option<Item> {
        match item {
            stream::Item::Event(event) => self.event(event).map(Item::Event),
            stream::Item::Gap(gap) => self.gap(gap).map(Item::Notice),
            stream::Item::Heartbeat(position) => {
                self.advance(position);
                None
            }
            stream::Item::Epoch(epoch) => {
                self.epoch = epoch;
                None
            }
            _ => None,
        }
    }

    fn end(&mut self, error: SubscriptionError) -> SubscriptionError {
        self.ended = true;
        self.handle.core.unregister(self.slot.key);
        error
    }
}

impl Stream for Subscription {
    type Item = Result<Event, SubscriptionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl FusedStream for Subscription {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.handle.core.unregister(self.slot.key);
        if let Some(stream) = self.stream.take() {
            stream.stop(Code::UNSUBSCRIBED);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("filter", &self.slot.filter)
            .field("cursor", &self.slot.position())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
