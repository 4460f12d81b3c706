//! [`DeliveryLoop`]: what every subscription does, whoever takes its events.
//!
//! ```text
//!                ┌──▶ session/delivery.rs   writes them to a client's stream
//! DeliveryLoop ──┤
//!                └──▶ subscription.rs       hands them out in this process
//! ```

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use qsse_log::{Found, Reader, Step};
use qsse_proto::EventId;
use qsse_proto::batch::Batch;
use qsse_proto::stream::Gap;
use tokio::time::timeout_at;

use crate::fairness::searches::{Searcher, Turn};
use crate::shared::Shared;
use crate::wake_gated::WakeGated;

mod heartbeat;

pub(crate) use heartbeat::Heartbeat;

/// Who takes a subscription's events.
pub(crate) trait Recipient {
    /// Bytes of batches to take from the log at a time.
    const TURN: usize;
    /// Bytes to read from the storage at a time.
    const STORED_TURN: usize;

    /// Returns the server.
    fn shared(&self) -> &Arc<Shared>;

    /// Returns in whose name the log is searched.
    fn searcher(&self) -> Searcher {
        Searcher::in_process()
    }

    /// Notes whether the subscription has fallen behind its feed. Called after each step.
    fn note_lag(&mut self, _: &Reader) {}

    /// Notes that everything was delivered. Called before each wait for a newer event.
    fn note_up_to_date(&mut self) {}

    /// Starts to ask which of the batches the recipient may read. `None`: all of them.
    fn ask_permission(&self, _: &mut Vec<Batch>) -> Option<BoxFuture<'static, Vec<Batch>>> {
        None
    }

    /// Notes what is left of batches after permission was asked.
    fn note_permitted(&mut self, _: &[Batch]) {}
}

/// The position of a subscription in the log, and what it is about to do there.
pub(crate) struct DeliveryLoop<R> {
    recipient: R,
    reader: Reader,
    heartbeat: Option<Heartbeat>,
    /// Wakes an idle subscription when its heartbeat is due or the server drains.
    alarm: Option<WakeGated>,
    /// A step that has to wait. In a box, as most subscriptions never need the room for it.
    detour: Option<BoxFuture<'static, Detour>>,
    /// Whether everything accepted before the drain has been stored.
    flushed: bool,
    /// The next step is a part of a search, which needs a turn.
    searches: bool,
}

/// What a subscription delivers next.
pub(crate) enum Next {
    /// Events, which were added to the list.
    Batches,
    /// Events may be missing here.
    Gap(Gap),
    /// A heartbeat is due: everything up to here was delivered.
    Heartbeat(EventId),
    /// The storage could not be read.
    Unreadable {
        /// What it said.
        reason: String,
    },
    /// The subscription fell behind, and asked to be ended then.
    Lagged,
    /// The server drains, and everything up to here, its last event, was delivered.
    Drained(EventId),
}

/// What came of a step that had to wait.
enum Detour {
    Fetched(Found),
    Permitted(Vec<Batch>),
    Flushed,
    /// The turn to take the next step.
    Turn(Turn),
}

impl<R: Recipient> DeliveryLoop<R> {
    pub(crate) fn new(recipient: R, reader: Reader, heartbeat: Option<Heartbeat>) -> Self {
        Self {
            recipient,
            reader,
            heartbeat,
            alarm: None,
            detour: None,
            flushed: false,
            searches: false,
        }
    }

    pub(crate) fn recipient(&self) -> &R {
        &self.recipient
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Returns a gap with the ids of its ends.
    pub(crate) fn gap(&self, gap: Gap) -> qsse_proto::Gap {
        let lineage = self.recipient.shared().log.lineage();
        let (after, to) = (lineage.id(gap.after), lineage.id(gap.to));
        qsse_proto::Gap::new(after, to, gap.at_most, gap.reason)
    }

    /// Waits for the next thing to deliver; batches are added to `out`, which has to be empty. What
    /// was delivered before counts as taken.
    ///
    /// Cancel-safe.
    pub(crate) fn next(&mut self, out: &mut Vec<Batch>) -> impl Future<Output = Next> {
        poll_fn(|cx| self.poll_next(cx, out))
    }

    /// Does what [`next`](Self::next) does, for futures written by hand.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>, out: &mut Vec<Batch>) -> Poll<Next> {
        loop {
            let turn = ready!(self.poll_detour(cx, out));
            if !out.is_empty() {
                return Poll::Ready(self.batches());
            }
            if self.searches && turn.is_none() {
                self.detour = Some(self.wait_for_turn());
                continue;
            }
            let step = self.reader.step(R::TURN, out);
            drop(turn);
            self.searches = self.reader.is_searching();
            self.recipient.note_lag(&self.reader);
            match step {
                Step::Batches => self.detour = self.ask_permission(out),
                Step::Gap(gap) => return Poll::Ready(Next::Gap(gap)),
                Step::Looking => {}
                Step::Stored => self.detour = Some(self.fetch()),
                Step::Unreadable { reason } => return Poll::Ready(Next::Unreadable { reason }),
                Step::Lagged => return Poll::Ready(Next::Lagged),
                Step::Idle(position) => {
                    if let Some(next) = ready!(self.poll_idle(cx, position)) {
                        return Poll::Ready(next);
                    }
                }
            }
        }
    }

    /// Finishes the step that has to wait, if there is one. Returns the turn that it waited for.
    fn poll_detour(&mut self, cx: &mut Context<'_>, out: &mut Vec<Batch>) -> Poll<Option<Turn>> {
        let Some(detour) = &mut self.detour else {
            return Poll::Ready(None);
        };
        let done = ready!(detour.as_mut().poll(cx));
        self.detour = None;
        match done {
            Detour::Fetched(found) => self.reader.take_up(found),
            Detour::Permitted(batches) => {
                self.recipient.note_permitted(&batches);
                *out = batches;
            }
            Detour::Flushed => self.flushed = true,
            Detour::Turn(turn) => return Poll::Ready(Some(turn)),
        }
        Poll::Ready(None)
    }

    fn batches(&mut self) -> Next {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.delivered(self.reader.position());
        }
        Next::Batches
    }

    fn ask_permission(&self, batches: &mut Vec<Batch>) -> Option<BoxFuture<'static, Detour>> {
        let permitted = self.recipient.ask_permission(batches)?;
        Some(Box::pin(async { Detour::Permitted(permitted.await) }))
    }

    fn wait_for_turn(&self) -> BoxFuture<'static, Detour> {
        let searcher = self.recipient.searcher();
        Box::pin(async move { Detour::Turn(searcher.turn().await) })
    }

    fn fetch(&self) -> BoxFuture<'static, Detour> {
        let found = self.reader.find(R::STORED_TURN);
        Box::pin(async { Detour::Fetched(found.await) })
    }

    /// Everything was delivered up to `position`. `None` after a wait: there may be more.
    fn poll_idle(&mut self, cx: &mut Context<'_>, position: EventId) -> Poll<Option<Next>> {
        if self.recipient.shared().is_leaving() {
            return Poll::Ready(self.drain(position));
        }
        if let Some(heartbeat) = &mut self.heartbeat
            && heartbeat.is_due(position)
        {
            heartbeat.delivered(position);
            return Poll::Ready(Some(Next::Heartbeat(position)));
        }
        self.recipient.note_up_to_date();
        self.poll_wait(cx).map(|()| None)
    }

    /// What was accepted before the drain is delivered once it is stored.
    fn drain(&mut self, position: EventId) -> Option<Next> {
        if self.flushed {
            return Some(Next::Drained(position));
        }
        let log = self.recipient.shared().log.clone();
        self.detour = Some(Box::pin(async move {
            let _ = log.flush().await;
            Detour::Flushed
        }));
        None
    }

    /// Waits for a newer event, the heartbeat or the drain.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.reader.poll_ready(cx).is_ready() {
            return Poll::Ready(());
        }
        let (recipient, heartbeat) = (&self.recipient, &self.heartbeat);
        let alarm = self.alarm.get_or_insert_with(|| {
            let draining = recipient.shared().draining.clone().cancelled_owned();
            match heartbeat.as_ref().map(Heartbeat::due) {
                Some(due) => WakeGated::new(async move {
                    let _ = timeout_at(due, draining).await;
                }),
                None => WakeGated::new(draining),
            }
        });
        ready!(Pin::new(alarm).poll(cx));
        self.alarm = None;
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.rang(self.reader.position());
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;
    use qsse_log::{OnLag, Start};
    use tokio::task::yield_now;

    use super::*;
    use crate::fairness::searches::Searches;
    use crate::server::Server;

    struct Client(Arc<Shared>, Searches);

    impl Recipient for Client {
        const TURN: usize = 32 << 10;
        const STORED_TURN: usize = 128 << 10;

        fn shared(&self) -> &Arc<Shared> {
            &self.0
        }

        fn searcher(&self) -> Searcher {
            Searcher::client(&self.0.searches, &self.1)
        }
    }

    #[tokio::test]
    async fn a_search_in_the_history_waits_for_its_turn() {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        for n in 0..3_000 {
            server.publish(format!("t.{n}"), "").await.unwrap();
        }
        server.publish("t.few.x", "").await.unwrap();
        let shared = server.shared();
        let filter = "*.*.x".parse().unwrap();
        let reader = shared.log.open(&filter, Start::Earliest, OnLag::CatchUp);
        let client = Client(Arc::clone(shared), Searches::default());
        let mut delivery = DeliveryLoop::new(client, reader.await.unwrap(), None);
        let other = Searcher::client(&shared.searches, &Searches::default());
        let turn = other.turn().await;
        let mut batches = Vec::new();
        {
            let mut next = pin!(delivery.next(&mut batches));
            for _ in 0..10 {
                assert!(poll!(&mut next).is_pending(), "it is not its turn");
                yield_now().await;
            }
            drop(turn);
            assert!(matches!(next.await, Next::Batches));
        }
        assert_eq!(batches[0].count(), 1);
        // Between two of its parts others have their turns.
        let _turn = other.turn().await;
    }
}
