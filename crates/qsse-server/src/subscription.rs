//! Subscriptions in the server's own process.

use std::collections::VecDeque;
use std::fmt;
use std::future::{IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_util::future::BoxFuture;
use qsse_log::{OnLag, Start, StartError};
use qsse_proto::batch::{Batch, Events};
use qsse_proto::stream::Outcome;
use qsse_proto::{Cursor, Event, Gap, Reset};
use qsse_topic::{Filter, FilterError, Pattern};

use crate::delivery::{DeliveryLoop, Next, Recipient};
use crate::fairness::searches::Searcher;
use crate::metrics::GaugeGuard;
use crate::server::Server;
use crate::shared::Shared;

/// Why a subscription did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The filter is invalid.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The pattern matches none of the declared topics.
    #[error("no topic of this server matches {0}")]
    NotAvailable(Pattern),
    /// The start cannot be found.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// An event or a notice, as [`Subscription::next_item`] yields them, in order.
#[derive(Clone, Debug)]
pub enum Item {
    /// An event.
    Event(Event),
    /// Something that the subscription reports between two events.
    Notice(Notice),
}

/// What a subscription reports between two events. It continues after each notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Events may be missing here. Those that are still kept follow.
    Gap(Gap),
    /// The requested position is not of this log. The subscription continues with the oldest event
    /// that is kept.
    Reset(Reset),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap(gap) => gap.fmt(f),
            Self::Reset(reset) => reset.fmt(f),
        }
    }
}

type OnNotice = Arc<dyn Fn(&Notice) + Send + Sync>;

/// Why a subscription has no next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// The store could not be read; a log line says why. Asking for the next event tries again.
    #[error("the store could not be read: try again")]
    Unreadable,
    /// The subscription fell behind with [`OnLag::Disconnect`]: it has ended, and can be resumed
    /// from its cursor.
    #[error("the subscription fell behind and has ended: resume it from its cursor")]
    Lagged,
}

/// A subscription that is to start. Await it; made by [`Server::subscribe`].
#[must_use = "a subscription begins when this is awaited"]
pub struct Subscribe {
    server: Server,
    filter: Result<Filter, FilterError>,
    start: Start,
    on_lag: OnLag,
    on_notice: OnNotice,
}

impl Subscribe {
    pub(crate) fn new(server: Server, filter: Result<Filter, FilterError>, start: Start) -> Self {
        Self {
            server,
            filter,
            start,
            on_lag: OnLag::CatchUp,
            on_notice: Arc::new(|notice| tracing::warn!(%notice, "subscription")),
        }
    }

    /// Sets where to begin. Default: with the next event.
    pub fn start(mut self, start: impl Into<Start>) -> Self {
        self.start = start.into();
        self
    }

    /// Sets what happens when the subscription lags. Default: it catches up from the history.
    pub fn on_lag(mut self, on_lag: OnLag) -> Self {
        self.on_lag = on_lag;
        self
    }

    /// Calls `function` with each [`Notice`], such as a gap, that [`next`](Subscription::next) and
    /// [`try_next`](Subscription::try_next) skip. Default: it is logged at level `warn`.
    ///
    /// The task that asks for the next event runs it, and waits for it.
    /// [`next_item`](Subscription::next_item) and [`items`](Subscription::items) yield notices
    /// instead.
    pub fn on_notice(mut self, function: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.on_notice = Arc::new(function);
        self
    }

    async fn open(self) -> Result<Subscription, SubscribeError> {
        let Self {
            server,
            filter,
            start,
            on_lag,
            on_notice,
        } = self;
        let filter = filter?;
        let shared = server.shared();
        if let Some(pattern) = filter
            .patterns()
            .iter()
            .find(|pattern| !shared.topics.has(pattern))
        {
            return Err(SubscribeError::NotAvailable(pattern.clone()));
        }
        let searcher = Searcher::in_process();
        let reader = shared
            .log
            .open_in_turns(&filter, start, on_lag, || searcher.turn())
            .await?;
        let counted = shared.metrics.subscribe(&filter, &shared.topics);
        let position = reader.started();
        let after = match start {
            Start::After(id) => Some(id),
            _ => None,
        };
        let reset = (reader.outcome() == Outcome::Reset).then(|| Reset::new(after, position));
        Ok(Subscription {
            delivery: DeliveryLoop::new(InProcess(server), reader, None),
            filter,
            batches: VecDeque::new(),
            events: None,
            cursor: Cursor::after(position),
            reset,
            on_notice,
            lagged: false,
            _counted: counted,
        })
    }
}

impl IntoFuture for Subscribe {
    type Output = Result<Subscription, SubscribeError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

/// The events that a filter matches, in order. Ends when the server has.
///
/// A subscription that is not read slows nobody down. Events that it misses are reported by a
/// [gap](Notice::Gap), after which it continues: see [`on_notice`](Subscribe::on_notice) and
/// [`next_item`](Self::next_item). It keeps the server open.
pub struct Subscription {
    delivery: DeliveryLoop<InProcess>,
    filter: Filter,
    /// Batches to be decoded.
    batches: VecDeque<Batch>,
    /// The batch that is being handed out.
    events: Option<Events>,
    cursor: Cursor,
    reset: Option<Reset>,
    on_notice: OnNotice,
    /// Whether it has ended because it lagged.
    lagged: bool,
    _counted: GaugeGuard,
}

/// A subscription in this process as the recipient of its events. It keeps the server open.
struct InProcess(Server);

impl Recipient for InProcess {
    const TURN: usize = 64 << 10;
    const STORED_TURN: usize = 64 << 10;

    fn shared(&self) -> &Arc<Shared> {
        self.0.shared()
    }
}

impl Subscription {
    /// Waits for the next event and returns it; returns `None` once the server has ended.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`SubscriptionError`] says.
    pub async fn next(&mut self) -> Option<Result<Event, SubscriptionError>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Does what [`next`](Self::next) does, in the form for the `?` operator.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`SubscriptionError`] says.
    pub async fn try_next(&mut self) -> Result<Option<Event>, SubscriptionError> {
        self.next().await.transpose()
    }

    /// Waits for the next event or [notice](Notice) and returns it; returns `None` once the server
    /// has ended.
    ///
    /// It does not call the function of [`on_notice`](Subscribe::on_notice). Cancel-safe.
    ///
    /// # Errors
    /// As [`SubscriptionError`] says.
    pub async fn next_item(&mut self) -> Option<Result<Item, SubscriptionError>> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    /// Returns a [`Stream`] of what [`next_item`](Self::next_item) yields. Dropping it loses
    /// nothing.
    pub fn items(&mut self) -> Items<'_> {
        Items(self)
    }

    /// Returns the position of the last event handed out, or where the subscription began.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Returns what it is subscribed to.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    fn shared(&self) -> &Arc<Shared> {
        self.delivery.recipient().shared()
    }

    /// Passes notices to their function until there is an event.
    fn poll_event(
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
        if let Some(reset) = self.reset.take() {
            return Poll::Ready(Some(Ok(Item::Notice(Notice::Reset(reset)))));
        }
        loop {
            if self.lagged {
                return Poll::Ready(None);
            }
            if let Some(event) = self.next_decoded() {
                return Poll::Ready(Some(Ok(Item::Event(event))));
            }
            let mut batches = Vec::new();
            match ready!(self.delivery.poll_next(cx, &mut batches)) {
                Next::Batches => self.batches.extend(batches),
                Next::Gap(gap) => {
                    return Poll::Ready(Some(Ok(Item::Notice(Notice::Gap(
                        self.delivery.gap(gap),
                    )))));
                }
                Next::Heartbeat(_) => {}
                Next::Unreadable { reason } => {
                    tracing::error!(filter = %self.filter, reason, "the store could not be read");
                    return Poll::Ready(Some(Err(SubscriptionError::Unreadable)));
                }
                Next::Lagged => {
                    self.lagged = true;
                    return Poll::Ready(Some(Err(SubscriptionError::Lagged)));
                }
                Next::Drained(_) => return Poll::Ready(None),
            }
        }
    }

    /// Returns the next event of the batches that were taken from the log.
    fn next_decoded(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.as_mut().and_then(Iterator::next) {
                let event = event.expect("a batch of ours decodes");
                self.cursor = Cursor::after(event.id());
                return Some(event);
            }
            let batch = self.batches.pop_front();
            let lineage = self.shared().log.lineage();
            self.events = batch.map(|batch| batch.events(lineage.epoch_of(batch.first_seq())));
            // No batch is left: the delivery loop has to be asked.
            self.events.as_ref()?;
        }
    }
}

impl Stream for Subscription {
    type Item = Result<Event, SubscriptionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

/// The events and [notices](Notice) of a subscription. Made by [`Subscription::items`].
pub struct Items<'s>(&'s mut Subscription);

impl Stream for Items<'_> {
    type Item = Result<Item, SubscriptionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_item(cx)
    }
}
