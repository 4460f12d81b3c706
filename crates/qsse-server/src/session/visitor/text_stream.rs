//! [`TextStream`]: the events of a visitor's subscription, as text.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::IntoFuture;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::future::BoxFuture;
use qsse_log::{OnLag, Reader, Start};
use qsse_proto::batch::Batch;
use qsse_proto::control::Subscribe;
use qsse_proto::stream::Outcome;
use qsse_proto::text::TextNotice;
use qsse_proto::{Code, EventId, Reset};
use qsse_topic::Filter;
use tokio::time::{Instant, Sleep};

use super::Visitor;
use super::place::Place;
use super::refused::Refused;
use super::text_form::TextForm;
use crate::audit::AuditEvent;
use crate::delivery::{DeliveryLoop, Heartbeat, Next};
use crate::metrics::GaugeGuard;
use crate::session::recipient::ClientRecipient;
use crate::session::subscribing;
use crate::session::unread::{Held, Weight};
use crate::wake_gated::WakeGated;

/// A subscription that is to start. Await it; made by [`Visitor::subscribe`].
#[must_use = "a subscription begins when this is awaited"]
pub struct SubscribeText<'v> {
    visitor: &'v Visitor,
    patterns: Vec<String>,
    form: TextForm,
    start: Start,
    on_lag: OnLag,
}

impl Visitor {
    /// Subscribes to patterns. The events come as text.
    ///
    /// Awaiting it fails with the reasons of a refusal. Dropping it before it is done gives its
    /// place back.
    pub fn subscribe(&self, patterns: Vec<String>, form: TextForm) -> SubscribeText<'_> {
        SubscribeText {
            visitor: self,
            patterns,
            form,
            start: Start::Live,
            on_lag: OnLag::CatchUp,
        }
    }
}

impl<'v> SubscribeText<'v> {
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

    async fn open(self) -> Result<TextStream, Refused> {
        let (visitor, patterns) = (self.visitor, self.patterns.join(","));
        let opened = self.try_open().await;
        if let Err(refused) = &opened {
            let session = &visitor.session;
            session.shared.metrics.refuse("subscription", refused.code);
            let why = Err((refused.code, refused.message.as_str()));
            session.audit(AuditEvent::Subscribe, Some(&patterns), why);
        }
        opened
    }

    async fn try_open(self) -> Result<TextStream, Refused> {
        let Self {
            visitor,
            patterns,
            form,
            start,
            on_lag,
        } = self;
        visitor.check_open()?;
        let session = &visitor.session;
        let place = Place::take(visitor, patterns.len())?;
        let asked = Subscribe {
            id: place.id,
            patterns,
            start,
            on_lag,
        };
        let started = subscribing::start(session, &asked).await?;
        let (filter, reader) = (started.filter, started.reader);
        place.accept(&filter);
        // The rights may have ended, or become less, while it was opened.
        visitor.check_open()?;
        if session.access.generation() != started.generation
            && let Some(refusal) = subscribing::recheck(session, &filter).await
        {
            return Err(refusal.into());
        }
        session.audit(AuditEvent::Subscribe, Some(&filter.to_string()), Ok(()));
        Ok(TextStream::new(visitor, place, filter, reader, form, start))
    }
}

impl<'v> IntoFuture for SubscribeText<'v> {
    type Output = Result<TextStream, Refused>;
    type IntoFuture = BoxFuture<'v, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

/// The events of a visitor's subscription as blocks of text, each of whole events or notices.
///
/// A block is taken from the log when it is asked for, so a reader that is slow holds one block and
/// is behind. The stream ends with a block that says why, after the server has ended it.
pub struct TextStream {
    events: DeliveryLoop<ClientRecipient>,
    form: TextForm,
    started: EventId,
    queue: VecDeque<Bytes>,
    /// The batches in the queue.
    weight: Weight,
    held: Held,
    /// Completes when the subscription or the visit is over.
    over: WakeGated,
    keep_alive: Pin<Box<Sleep>>,
    every: Duration,
    /// When its client is to come back.
    retry: Duration,
    /// Nothing follows what is in the queue.
    ended: bool,
    place: Place,
    _counted: GaugeGuard,
}

impl fmt::Debug for TextStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextStream")
            .field("form", &self.form)
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

impl TextStream {
    fn new(
        visitor: &Visitor,
        place: Place,
        filter: Filter,
        reader: Reader,
        form: TextForm,
        start: Start,
    ) -> Self {
        let session = &visitor.session;
        let shared = &session.shared;
        let limits = shared.limits();
        let ends = place.ends.clone();
        let started = reader.started();
        let retry = jittered(limits.retry_after);
        let mut queue = VecDeque::from([form.opening(started, retry)]);
        if reader.outcome() == Outcome::Reset {
            let after = match start {
                // Epoch 0 stands for a position that is no id of ours.
                Start::After(id) if id.epoch().get() > 0 => Some(id),
                _ => None,
            };
            let reset = Reset::new(after, started);
            queue.push_back(form.notice(&TextNotice::Reset(&reset)));
        }
        ends.note_written(started.seq());
        let held = Held::new(&shared.unread, &session.unread, ends.clone());
        let counted = shared.metrics.subscribe(&filter, &shared.topics);
        let heartbeat = Heartbeat::new(limits.heartbeat, started);
        let over = {
            let (ends, gone) = (ends.clone(), visitor.foreign.gone());
            WakeGated::new(async move {
                tokio::select! {
                    biased;
                    () = ends.cancelled() => {}
                    () = gone => {}
                }
            })
        };
        let recipient = ClientRecipient::new(Arc::clone(session), filter, ends, false);
        Self {
            events: DeliveryLoop::new(recipient, reader, Some(heartbeat)),
            form,
            started,
            queue,
            weight: Weight::default(),
            held,
            over,
            keep_alive: Box::pin(tokio::time::sleep(limits.heartbeat)),
            every: limits.heartbeat,
            retry,
            ended: false,
            place,
            _counted: counted,
        }
    }

    /// Returns the position before its first event.
    pub fn started(&self) -> EventId {
        self.started
    }

    /// Waits until there is something to send.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if Pin::new(&mut self.over).poll(cx).is_ready() {
            self.end_from_outside();
            return Poll::Ready(());
        }
        let mut batches = Vec::new();
        match self.events.poll_next(cx, &mut batches) {
            Poll::Ready(next) => {
                self.take(next, &batches);
                Poll::Ready(())
            }
            Poll::Pending => {
                ready!(self.keep_alive.as_mut().poll(cx));
                self.queue.push_back(self.form.keep_alive());
                Poll::Ready(())
            }
        }
    }

    fn take(&mut self, next: Next, batches: &[Batch]) {
        match next {
            Next::Batches => self.queue_batches(batches),
            Next::Gap(gap) => {
                let gap = self.events.gap(gap);
                self.queue
                    .push_back(self.form.notice(&TextNotice::Gap(&gap)));
            }
            Next::Heartbeat(position) => self.queue.push_back(self.form.position(position)),
            Next::Unreadable { reason } => {
                let filter = self.events.recipient().filter();
                tracing::error!(%filter, reason, "the store could not be read");
                self.end(Code::BUSY, "the store could not be read: try again");
            }
            Next::Lagged => self.end(
                Code::LAGGED,
                "the subscription fell behind and has ended: resume it from its cursor",
            ),
            Next::Drained(position) => {
                self.queue.push_back(self.form.position(position));
                self.end(Code::SHUTTING_DOWN, "the server is shutting down");
            }
        }
    }

    fn queue_batches(&mut self, batches: &[Batch]) {
        let (session, reader) = (self.events.recipient().session(), self.events.reader());
        if let Some(first) = batches.first() {
            self.place.ends.note_written(first.first_seq() - 1);
        }
        let encoding = self.form.encoding();
        let encoding = encoding.without_prefix(session.access.namespace().bytes());
        let metrics = &session.shared.metrics;
        for batch in batches {
            self.weight.add(batch);
            let bytes = reader.encoded(batch, encoding);
            metrics.delivered_events.add(u64::from(batch.count()));
            metrics.delivered_bytes.add(bytes.len() as u64);
            self.queue.push_back(bytes);
        }
    }

    /// Ends it for a reason that the server has, or without a word if the client is gone.
    fn end_from_outside(&mut self) {
        let visitor = &self.place.visitor;
        match visitor.ended() {
            Some(Refused { code, message }) => self.end(code, &message),
            None => match self.place.ends.code() {
                Code::LAGGED => self.end(
                    Code::LAGGED,
                    "the client read too little, and memory is scarce: resume from the cursor",
                ),
                code => self.end(code, "the token no longer allows this subscription"),
            },
        }
    }

    fn end(&mut self, code: Code, message: &str) {
        let retry = code.is_retryable() || code == Code::TOKEN_EXPIRED;
        let notice = TextNotice::End {
            code: code.get(),
            message,
            retry,
        };
        let after = retry.then_some(self.retry);
        self.queue.push_back(self.form.end(&notice, after));
        self.ended = true;
    }

    /// Hands out a block, which counts as held until the next one is asked for.
    fn hand_out(&mut self, block: Bytes) -> Bytes {
        let session = self.events.recipient().session();
        let now = session.shared.clock.now().monotonic;
        let mut weight = self.weight;
        weight.bytes += self.events.reader().fetched_bytes();
        let ended = self.held.block(now, weight);
        if ended > 0 {
            session.shared.metrics.shed_subscriptions.add(ended);
        }
        self.place.visitor.foreign.count_sent(block.len());
        let next = Instant::now() + self.every;
        self.keep_alive.as_mut().reset(next);
        block
    }
}

/// Returns a time between once and twice as long: the clients of a server that restarts are not to
/// come back all at once.
fn jittered(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 1_024;
    time + time.mul_f64(random as f64 / 1_024.0)
}

impl Stream for TextStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.held.is_blocked() {
            self.held.unblock();
        }
        loop {
            match self.queue.pop_front() {
                Some(block) if block.is_empty() => {}
                Some(block) => return Poll::Ready(Some(self.hand_out(block))),
                None if self.ended => return Poll::Ready(None),
                None => {
                    self.weight = Weight::default();
                    ready!(self.poll_fill(cx));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_come_back_at_different_times() {
        let second = Duration::from_secs(1);
        let times: Vec<_> = (0..1_000).map(|_| jittered(second)).collect();
        let early = times.iter().filter(|time| **time < second.mul_f64(1.5));
        assert!((350..650).contains(&early.count()));
        assert!(times.iter().all(|time| (second..2 * second).contains(time)));
    }
}
