//! [`Subscription`]: events of a filter, as a stream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use qsse_proto::stream::{self, Outcome};
use qsse_proto::{Code, Epoch, Event, EventId, Reset};
use qsse_topic::Filter;
use qsse_transport::{ReadError, RecvStream};

use crate::core::{Command, Handle};
use crate::cursor::Cursor;
use crate::error::SubscriptionError;
use crate::notice::{Item, Notice, OnNotice};

mod builder;
pub(crate) mod coming;
mod items;
mod lending;
mod lines;
mod mark;
mod position;
mod reading;
pub(crate) mod slot;

pub use builder::Subscribe;
use coming::{Incoming, Next, Source};
pub use items::Items;
use lines::{Lines, Said};
use mark::Mark;
use reading::{Frames, Reading, StreamEnd};
use slot::{End, GO_EPOCH, Slot, Taken};

/// The events that a filter matches, in order, each once. Made by [`Client::subscribe`](crate::Client::subscribe) and
/// [`Connect::subscribe`](crate::Connect::subscribe).
///
/// It is a [`Stream`] of `Result<Event, SubscriptionError>` and has its own [`next`](Self::next) and [`try_next`](Self::try_next). An error is the
/// end: `None` follows for ever. A client that is closed on this side ends its subscriptions without an error, once they have read what
/// had arrived.
///
/// Where the server no longer has some events, the subscription reports a [notice](Notice) and goes on: a [gap](Notice::Gap), or a
/// [reset](Notice::Reset) if the server's log is another one. Notices are logged; [`on_notice`](Subscribe::on_notice) sets another function for
/// them, and [`next_item`](Self::next_item) yields them among the events.
///
/// A lost connection is no error: the subscription goes on after the last event that it handed out as soon as the client
/// is connected again. In the Go library's [`Dialect`](crate::Dialect) that is not possible, and the notice is [`Lost`](Notice::Lost).
///
/// Events are read and decoded in the task that asks for them. A subscription that nobody reads holds back only itself: the server sends
/// up to the stream's window ([`TransportConfig::stream_receive_window`](crate::TransportConfig#structfield.stream_receive_window)) and
/// then treats it as one that [lags](crate::OnLag). An event keeps the buffer that it came in alive;
/// [`Event::into_owned`] copies it out.
///
/// A subscription keeps its connection alive. Dropping it unsubscribes.
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    handle: Arc<Handle>,
    slot: Arc<Slot>,
    reading: Option<Reading>,
    /// The slot's mark; kept here so that an event needs no lock.
    mark: Option<Arc<Mark>>,
    /// The epoch of what comes next on the stream.
    epoch: Epoch,
    /// Set while the stream, which was asked for from before the mark, may be one of a server that does not know the mark: the epoch that it
    /// was asked for from.
    unsure: Option<Epoch>,
    /// The event that is lent, unless `reading` has it.
    kept: Option<Event>,
    on_notice: OnNotice,
    ended: bool,
}

impl Subscription {
    pub(crate) fn new(handle: Arc<Handle>, slot: Arc<Slot>, on_notice: OnNotice) -> Self {
        Self {
            handle,
            slot,
            reading: None,
            mark: None,
            epoch: GO_EPOCH,
            unsure: None,
            kept: None,
            on_notice,
            ended: false,
        }
    }

    /// Waits for the next event and returns it; returns `None` once the subscription has ended.
    ///
    /// Cancel-safe: no event is lost when the future is dropped.
    ///
    /// # Errors
    /// A [`SubscriptionError`] is the end. Gaps and other [notices](Notice) go to the function of [`on_notice`](Subscribe::on_notice).
    pub async fn next(&mut self) -> Option<Result<Event, SubscriptionError>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Does what [`next`](Self::next) does, in the form for the `?` operator.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// A [`SubscriptionError`] is the end.
    pub async fn try_next(&mut self) -> Result<Option<Event>, SubscriptionError> {
        self.next().await.transpose()
    }

    /// What [`next`](Self::next) would give without waiting; the outer `None` means that nothing has come yet.
    ///
    /// For those who write events on and flush when no further one is ready.
    pub fn next_ready(&mut self) -> Option<Option<Result<Event, SubscriptionError>>> {
        match self.poll_event(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(item) => Some(item),
            Poll::Pending => None,
        }
    }

    /// Where the subscription stands: everything up to here has been handed out. Valid from the start, also before the first event, and still
    /// when the subscription has ended: one that starts there goes on where this one stopped.
    ///
    /// An event moves it when it is handed out, and so does a server that says that all up to some position has been; for that the
    /// subscription must be asked for its next event. A gap does not move it, the next event does. A reset moves it to where the server's log
    /// begins.
    pub fn cursor(&self) -> Cursor {
        let position = self.slot.position();
        Cursor::after(position.expect("a subscription is handed out once it is confirmed"))
    }

    /// How the server met the start: [live](Outcome::Live), [resumed](Outcome::Resumed) where it was asked to, with a [gap](Outcome::Gap), or
    /// with a [reset](Outcome::Reset), because the server's log does not have the position. `None` if the subscription ended before that was known.
    ///
    /// It comes with the beginning of the subscription's stream, about when the subscription is confirmed, and is waited for. It stays what it was:
    /// what a later reconnect meets is told as a gap or reset among the events, as are those of the start. In the Go library's
    /// [`Dialect`](crate::Dialect) it is always live. Takes no event; cancel-safe.
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
            // Its end has been handed out, and what wakes this went with it.
            Poll::Pending if self.ended => Poll::Ready(None),
            outcome => outcome,
        })
        .await
    }

    /// The patterns subscribed to, normalised.
    pub fn filter(&self) -> &Filter {
        &self.slot.filter
    }

    /// Ends the subscription; the same as dropping it.
    pub fn unsubscribe(self) {}

    /// The hot path: an event that has arrived. The rest is left to a call.
    #[inline]
    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, SubscriptionError>>> {
        if let Some(Reading::Frames(frames)) = &mut self.reading
            && let Some(event) = frames.next_event()
            && self.advance(event.id())
        {
            return Poll::Ready(Some(Ok(event)));
        }
        self.poll_past_notices(cx)
    }

    /// Gives notices to their function until there is an event.
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

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Item, SubscriptionError>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            let Some(reading) = &mut self.reading else {
                let notice = match ready!(self.slot.poll_take(cx)) {
                    Taken::Next(Next::Source(source)) => self.take_up(source),
                    Taken::Next(Next::Notice(notice)) => Some(notice),
                    Taken::End(End::Error(error)) => {
                        return Poll::Ready(Some(Err(self.end(error))));
                    }
                    Taken::End(End::Quiet) => {
                        self.ended = true;
                        None
                    }
                };
                match notice {
                    Some(notice) => return Poll::Ready(Some(Ok(Item::Notice(notice)))),
                    None => continue,
                }
            };
            let item = match reading {
                Reading::Frames(frames) => match ready!(frames.poll_item(cx)) {
                    Ok(stream::Item::Event(event)) => self.event(event).map(Item::Event).map(Ok),
                    Ok(stream::Item::Gap(gap)) => self.gap(gap).map(Item::Notice).map(Ok),
                    Ok(stream::Item::Heartbeat(position)) => {
                        self.advance(position);
                        None
                    }
                    Ok(stream::Item::Epoch(epoch)) => {
                        self.epoch = epoch;
                        None
                    }
                    Ok(_) => None,
                    Err(end) => self.stream_ended(end).map(Err),
                },
                Reading::Lines(lines) => match ready!(lines.poll_said(cx, self.slot.offered())) {
                    Ok(Said::Event(event)) => self.event(event).map(Item::Event).map(Ok),
                    Ok(Said::Notice(notice)) => Some(Ok(Item::Notice(notice))),
                    Ok(Said::Refused(error)) => Some(Err(self.end(error))),
                    Err(end) => self.stream_ended(end).map(Err),
                },
            };
            if let Some(item) = item {
                return Poll::Ready(Some(item));
            }
        }
    }

    fn take_up(&mut self, source: Source) -> Option<Notice> {
        match source {
            Source::Frames(incoming) => self.begin(*incoming),
            Source::Lines { link, stream } => {
                self.begin_lines(link, stream);
                None
            }
        }
    }

    fn begin_lines(&mut self, link: u32, stream: RecvStream) {
        let mark = self.slot.mark();
        let mark = mark.filter(|mark| mark.id().epoch() == GO_EPOCH);
        let mark = mark.unwrap_or_else(|| self.slot.set_mark(EventId::new(GO_EPOCH, 0)));
        self.reading = Some(Reading::Lines(Lines::new(link, stream, mark.id().seq())));
        self.mark = Some(mark);
    }

    /// Takes up a stream. Reports a reset if the server does not have the position that it was asked for (QP-7.7).
    fn begin(&mut self, incoming: Incoming) -> Option<Notice> {
        let header = incoming.header;
        let frames = Frames::new(header.id, incoming.stream, incoming.decoder);
        self.reading = Some(Reading::Frames(frames));
        self.unsure = None;
        if incoming.resets != self.slot.resets() {
            // Asked for from a position that was given up since: what it goes on with says nothing about the one now.
            self.ask_again();
            return None;
        }
        self.mark = self.slot.mark();
        self.epoch = header.epoch;
        if header.outcome != Outcome::Reset {
            let mark = self.mark.as_ref().map(|mark| mark.id());
            let moved = mark.filter(|mark| *mark != header.start());
            let other = moved.filter(|mark| mark.epoch() != incoming.server);
            self.unsure = other.map(|_| header.epoch);
            return None;
        }
        let after = self.mark.as_ref().map(|mark| mark.id());
        let position = header.start();
        self.mark = Some(self.slot.reset(position));
        Some(Notice::Reset(Reset::new(after, position)))
    }

    /// The stream is over: the subscription too, or another stream will follow.
    fn stream_ended(&mut self, end: StreamEnd) -> Option<SubscriptionError> {
        let reading = self.reading.take()?;
        let id = reading.id();
        let error = match end {
            // The driver sees the loss by itself.
            StreamEnd::Read(ReadError::Connection(_)) => return None,
            StreamEnd::Read(ReadError::Reset(Code::LAGGED))
                if matches!(reading, Reading::Frames(_)) =>
            {
                SubscriptionError::Lagged
            }
            StreamEnd::Read(ReadError::Reset(code)) if !may_resume(code) => {
                // The refusal on the control stream says it in words, if it was quicker.
                let told = self.slot.take_error();
                told.unwrap_or(SubscriptionError::Refused {
                    code,
                    message: String::new(),
                })
            }
            StreamEnd::Decode(error) => {
                reading.stop(error.code());
                SubscriptionError::Protocol(error)
            }
            StreamEnd::Line(error) => {
                reading.stop(Code::PROTOCOL_VIOLATION);
                SubscriptionError::Line(error)
            }
            // At its end, or reset in a way that passes.
            _ => {
                self.handle.core.command(Command::Resume {
                    key: self.slot.key,
                    id,
                });
                return None;
            }
        };
        Some(self.end(error))
    }

    /// Gives up the stream for one that goes on where this subscription stands.
    fn ask_again(&mut self) {
        if let Some(reading) = self.reading.take() {
            let (key, id) = (self.slot.key, reading.id());
            reading.stop(Code::UNSUBSCRIBED);
            self.handle.core.command(Command::Resume { key, id });
        }
    }

    fn end(&mut self, error: SubscriptionError) -> SubscriptionError {
        self.ended = true;
        self.handle.core.unregister(self.slot.key);
        error
    }
}

/// Whether a stream reset with this code is worth another one.
fn may_resume(code: Code) -> bool {
    matches!(code, Code::NO_ERROR | Code::UNKNOWN) || code.is_retryable()
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
        if let Some(reading) = self.reading.take() {
            reading.stop(Code::UNSUBSCRIBED);
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
