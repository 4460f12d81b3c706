//! Subscriptions in the server's own process.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_util::future::BoxFuture;
use qsse_log::{Found, OnLag, Reader, Start, StartError, Step};
use qsse_proto::batch::{Batch, Events};
use qsse_proto::stream::{Gap, Outcome};
use qsse_proto::{Event, EventId};
use qsse_topic::{Filter, FilterError, Pattern};

use crate::metrics::Held;
use crate::rarely::Rarely;
use crate::server::Server;

/// Bytes of batches taken from the log at a time.
const TURN: usize = 64 << 10;

/// Why a subscription was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// What was given is no filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// None of the declared topics can match.
    #[error("no topic of this server matches {0}")]
    NotAvailable(Pattern),
    /// The start position is not there yet.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// What a subscription tells beside events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// Events may be missing; those that are kept follow.
    #[error("{0}")]
    Gap(Gap),
    /// The position asked for is not of this log: it goes on from the oldest event kept, after this position.
    #[error("the position asked for is not of this log: going on from the oldest event kept")]
    Reset {
        /// The new position.
        position: EventId,
    },
    /// The store did not give what follows; the log says why. Asked for the next event, the subscription asks the store again.
    #[error("the store could not be read: try again")]
    Unreadable,
    /// It lagged, and [`OnLag::Disconnect`] was asked for: it has ended, and can be resumed from its cursor.
    #[error("the subscription fell behind and has ended: resume it from its cursor")]
    Lagged,
}

/// A subscription to be; await it.
#[must_use = "a subscription begins when this is awaited"]
pub struct Subscribe {
    server: Server,
    filter: Result<Filter, FilterError>,
    start: Start,
    on_lag: OnLag,
}

impl Subscribe {
    pub(crate) fn new(server: Server, filter: Result<Filter, FilterError>, start: Start) -> Self {
        Self {
            server,
            filter,
            start,
            on_lag: OnLag::CatchUp,
        }
    }

    /// Where to begin; with the next event otherwise.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// What is done when it falls out of the live feed; it catches up from history otherwise.
    pub fn on_lag(mut self, on_lag: OnLag) -> Self {
        self.on_lag = on_lag;
        self
    }

    async fn open(self) -> Result<Subscription, SubscribeError> {
        let Self {
            server,
            filter,
            start,
            on_lag,
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
        let reader = shared.log.open(&filter, start, on_lag).await?;
        let counted = shared.metrics.subscribe(&filter, &shared.topics);
        let position = reader.started();
        let reset = (reader.outcome() == Outcome::Reset).then_some(position);
        let batches = VecDeque::new();
        Ok(Subscription {
            reader,
            filter,
            batches,
            events: None,
            waiting: None,
            draining: None,
            cursor: position,
            reset,
            lagged: false,
            flushed: false,
            server,
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
/// One that is not read costs nobody anything: it is told of what it missed by a gap. It keeps the server open.
pub struct Subscription {
    reader: Reader,
    filter: Filter,
    batches: VecDeque<Batch>,
    events: Option<Events>,
    waiting: Option<BoxFuture<'static, Option<Found>>>,
    /// The server's drain, from the first wait on.
    draining: Option<Rarely>,
    cursor: EventId,
    reset: Option<EventId>,
    lagged: bool,
    /// Everything accepted before the drain is kept.
    flushed: bool,
    server: Server,
    _counted: Held,
}

impl Subscription {
    /// The next event, or what has to be told instead; `None` once the server has ended.
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Event, SubscriptionError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The next event; `None` once the server has ended.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// A gap or a reset: the subscription goes on after it.
    pub async fn try_next(&mut self) -> Result<Option<Event>, SubscriptionError> {
        self.next().await.transpose()
    }

    /// The last event handed out, or where the subscription began.
    pub fn cursor(&self) -> EventId {
        self.cursor
    }

    /// What it is subscribed to.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The next thing at hand, without waiting.
    fn take(&mut self) -> Option<Result<Event, SubscriptionError>> {
        if let Some(position) = self.reset.take() {
            return Some(Err(SubscriptionError::Reset { position }));
        }
        loop {
            if let Some(event) = self.events.as_mut().and_then(Iterator::next) {
                let event = event.expect("a batch of ours decodes");
                self.cursor = event.id();
                return Some(Ok(event));
            }
            let lineage = self.server.shared().log.lineage();
            let next = self.batches.pop_front();
            self.events = next.map(|batch| batch.events(lineage.epoch_of(batch.first_seq())));
            if self.events.is_some() {
                continue;
            }
            let mut batches = Vec::new();
            match self.reader.step(TURN, &mut batches) {
                Step::Batches => self.batches.extend(batches),
                Step::Gap(gap) => return Some(Err(SubscriptionError::Gap(gap))),
                Step::Looking => {}
                Step::Unreadable { reason } => {
                    tracing::error!(filter = %self.filter, reason, "the store could not be read");
                    return Some(Err(SubscriptionError::Unreadable));
                }
                Step::Lagged => {
                    self.lagged = true;
                    return Some(Err(SubscriptionError::Lagged));
                }
                Step::Stored => {
                    let found = self.reader.find(TURN);
                    self.waiting = Some(Box::pin(async move { Some(found.await) }));
                    return None;
                }
                Step::Idle(_) => return None,
            }
        }
    }
}

impl Stream for Subscription {
    type Item = Result<Event, SubscriptionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.lagged {
                return Poll::Ready(None);
            }
            if let Some(waiting) = &mut self.waiting {
                let found = ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
                if let Some(found) = found {
                    self.reader.take_up(found);
                }
            }
            if let Some(item) = self.take() {
                return Poll::Ready(Some(item));
            }
            if self.waiting.is_some() {
                continue;
            }
            let shared = self.server.shared();
            if shared.is_leaving() && self.flushed {
                return Poll::Ready(None);
            }
            if shared.is_leaving() {
                // What was accepted before the drain is shown once it is kept.
                let log = shared.log.clone();
                self.flushed = true;
                self.waiting = Some(Box::pin(async move {
                    let _ = log.flush().await;
                    None
                }));
                continue;
            }
            let this = &mut *self;
            let shared = this.server.shared();
            let draining = this
                .draining
                .get_or_insert_with(|| Rarely::new(shared.draining.clone().cancelled_owned()));
            if Pin::new(draining).poll(cx).is_pending() {
                ready!(this.reader.poll_ready(cx));
            }
        }
    }
}
