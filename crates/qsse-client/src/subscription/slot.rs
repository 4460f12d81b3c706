//! [`Slot`]: what a subscription and the driver share.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use qsse_proto::EventId;
use qsse_proto::control::{OnLag, Refused, Start, Subscribe};
use qsse_proto::stream::{Outcome, StreamHeader};
use qsse_topic::{Filter, Pattern};
use tokio::sync::oneshot;

use super::coming::{Coming, Next, Source};
use super::mark::Mark;
use crate::error::{SubscribeError, SubscriptionError};
use crate::state::CloseReason;
use crate::text::plain;

mod go;
mod standing;

pub(crate) use go::GO_EPOCH;
use standing::Standing;

/// What a subscription and the driver share: where it stands, and the stream that comes next.
///
/// The driver puts streams in, and asks where to resume; the subscription takes streams out, and moves its position. Neither
/// waits for the other.
pub(crate) struct Slot {
    pub(crate) key: u64,
    pub(crate) filter: Filter,
    /// The patterns before they were normalised.
    offered: Vec<String>,
    on_lag: OnLag,
    shared: Mutex<Shared>,
}

struct Shared {
    standing: Standing,
    /// How the server met the start; known with the first stream.
    outcome: Option<Outcome>,
    coming: Coming,
    end: Option<End>,
    waker: Option<Waker>,
    /// Whoever awaits the subscription's being made.
    confirm: Option<oneshot::Sender<Result<(), SubscribeError>>>,
}

/// How a subscription ends.
pub(crate) enum End {
    /// As this side wanted.
    Quiet,
    Error(SubscriptionError),
}

impl End {
    pub(crate) fn of(reason: &CloseReason) -> Self {
        match reason {
            CloseReason::Local => Self::Quiet,
            reason => Self::Error(SubscriptionError::Closed(reason.clone())),
        }
    }
}

/// What a subscription without a stream gets.
pub(crate) enum Taken {
    Next(Next),
    End(End),
}

/// What a subscription is to be.
pub(crate) struct Wanted {
    pub(crate) filter: Filter,
    /// The patterns as they were given.
    pub(crate) offered: Vec<String>,
    pub(crate) start: Start,
    pub(crate) on_lag: OnLag,
}

impl Slot {
    pub(crate) fn new(
        key: u64,
        wanted: Wanted,
        confirm: oneshot::Sender<Result<(), SubscribeError>>,
    ) -> Self {
        let Wanted {
            filter,
            offered,
            start,
            on_lag,
        } = wanted;
        let shared = Shared {
            standing: Standing::new(start),
            outcome: None,
            coming: Coming::default(),
            end: None,
            waker: None,
            confirm: Some(confirm),
        };
        Self {
            key,
            filter,
            offered,
            on_lag,
            shared: Mutex::new(shared),
        }
    }

    /// The frame that asks for it, from where it stands now.
    pub(crate) fn request(&self, id: u32) -> Subscribe {
        let shared = self.shared.lock();
        Subscribe {
            id,
            patterns: self
                .filter
                .patterns()
                .iter()
                .map(Pattern::to_string)
                .collect(),
            start: shared.standing.start(),
            on_lag: self.on_lag,
        }
    }

    /// The server let it begin after `position`.
    pub(crate) fn confirm(&self, position: EventId) {
        let mut shared = self.shared.lock();
        shared.standing.begin(position);
        if let Some(confirm) = shared.confirm.take() {
            let _ = confirm.send(Ok(()));
        }
    }

    /// The server's stream has begun with this header.
    pub(crate) fn begun(&self, header: &StreamHeader) {
        self.confirm(header.start());
        self.shared.lock().outcome.get_or_insert(header.outcome);
    }

    /// How the server met the start; `None` once it has ended before that was known.
    pub(crate) fn poll_outcome(&self, cx: &mut Context<'_>) -> Poll<Option<Outcome>> {
        let mut shared = self.shared.lock();
        if shared.outcome.is_some() || shared.end.is_some() {
            return Poll::Ready(shared.outcome);
        }
        shared.wait(cx);
        Poll::Pending
    }

    /// The server does not give it. False if that is no end, because it once did and may again.
    pub(crate) fn refuse(&self, refused: Refused) -> bool {
        let Refused {
            code,
            message,
            subject,
            ..
        } = refused;
        let (message, subject) = (plain(message), subject.map(plain));
        if let Some(confirm) = self.shared.lock().confirm.take() {
            let _ = confirm.send(Err(SubscribeError::Refused {
                code,
                message,
                subject,
            }));
            return true;
        }
        let last = !code.is_retryable();
        if last {
            self.end(End::Error(SubscriptionError::Refused { code, message }));
        }
        last
    }

    /// Puts in a stream that the server opened.
    pub(crate) fn offer(&self, source: Source) {
        let mut shared = self.shared.lock();
        let useless = shared.coming.offer(source);
        let waker = shared.waker.take();
        drop(shared);
        drop(useless);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends it, behind what has come. Only the first end counts.
    pub(crate) fn end(&self, end: End) {
        let mut shared = self.shared.lock();
        if let Some(confirm) = shared.confirm.take() {
            let reason = match &end {
                End::Error(SubscriptionError::Closed(reason)) => reason.clone(),
                _ => CloseReason::Local,
            };
            let _ = confirm.send(Err(SubscribeError::Closed(reason)));
        }
        shared.end.get_or_insert(end);
        let waker = shared.waker.take();
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next stream, what is to be said before it, or the end.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Taken> {
        let mut shared = self.shared.lock();
        if let Some(next) = shared.coming.take() {
            return Poll::Ready(Taken::Next(next));
        }
        if let Some(end) = shared.end.take() {
            return Poll::Ready(Taken::End(end));
        }
        shared.wait(cx);
        Poll::Pending
    }

    /// The error it ends with, if that is known.
    pub(crate) fn take_error(&self) -> Option<SubscriptionError> {
        match self.shared.lock().end.take() {
            Some(End::Error(error)) => Some(error),
            _ => None,
        }
    }

    /// Where the subscription stands, if it has moved or began after an event.
    pub(crate) fn mark(&self) -> Option<Arc<Mark>> {
        self.shared.lock().standing.mark()
    }

    /// How many resets there were: a stream that was asked for before the last one begins at a place of another log.
    pub(crate) fn resets(&self) -> u64 {
        self.shared.lock().standing.resets()
    }

    /// Moves the subscription to where another log begins, wherever it stood.
    pub(crate) fn reset(&self, position: EventId) -> Arc<Mark> {
        self.shared.lock().standing.reset(position)
    }

    /// Puts the subscription behind the first event of an epoch.
    pub(crate) fn set_mark(&self, id: EventId) -> Arc<Mark> {
        self.shared.lock().standing.set_mark(id)
    }

    /// Where the subscription stands, or began.
    pub(crate) fn position(&self) -> Option<EventId> {
        self.shared.lock().standing.position()
    }
}

impl Shared {
    /// Has the subscription's task woken by what comes.
    fn wait(&mut self, cx: &mut Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use qsse_proto::{Code, Epoch};
    use qsse_topic::IntoFilter;

    use super::*;

    fn slot(start: Start) -> (Slot, oneshot::Receiver<Result<(), SubscribeError>>) {
        let (confirm, confirmed) = oneshot::channel();
        let filter = ["ride.*", "people"].into_filter().unwrap();
        let wanted = Wanted {
            filter,
            offered: Vec::new(),
            start,
            on_lag: OnLag::CatchUp,
        };
        (Slot::new(0, wanted, confirm), confirmed)
    }

    fn id(epoch: u64, seq: u64) -> EventId {
        EventId::new(Epoch::new(epoch), seq)
    }

    fn refused(code: Code) -> Refused {
        Refused {
            id: 1,
            code,
            message: "no".into(),
            subject: None,
        }
    }

    #[test]
    fn a_live_subscription_resumes_from_where_it_was_confirmed() {
        let (slot, mut confirmed) = slot(Start::Live);
        assert_eq!(slot.request(1).start, Start::Live);
        assert_eq!(slot.position(), None);
        slot.confirm(id(1, 40));
        assert!(confirmed.try_recv().unwrap().is_ok());
        assert_eq!(slot.request(2).start, Start::After(id(1, 40)));
        // A later connection does not move it: only events do.
        slot.confirm(id(1, 50));
        assert_eq!(slot.position(), Some(id(1, 40)));
        assert_eq!(slot.request(3).patterns, ["ride.*", "people"]);
    }

    #[test]
    fn other_starts_are_asked_for_again_until_they_are_confirmed() {
        let (slot, _confirmed) = slot(Start::Last(3));
        assert_eq!(slot.request(1).start, Start::Last(3));
        assert_eq!(slot.request(2).start, Start::Last(3));
        slot.confirm(id(1, 7));
        assert_eq!(
            slot.position(),
            Some(id(1, 7)),
            "the cursor is valid before the first event"
        );
        assert_eq!(slot.request(2).start, Start::After(id(1, 7)));
        let mark = slot.mark().unwrap();
        assert!(mark.advance(id(1, 12)));
        assert!(mark.covers(id(1, 12)) && !mark.covers(id(1, 13)));
        // Seqs rise across the epochs of a log; numbers of this side are another matter.
        assert!(mark.covers(id(2, 12)) && !mark.covers(id(2, 13)) && !mark.covers(id(0, 1)));
        assert!(!mark.advance(id(2, 1)), "another epoch needs another mark");
        assert_eq!(slot.request(3).start, Start::After(id(1, 12)));
        slot.reset(id(1, 2));
        assert_eq!(slot.request(4).start, Start::After(id(1, 2)), "also back");
        assert_eq!(slot.resets(), 1);
    }

    #[test]
    fn a_refusal_is_an_error_first_and_an_end_later() {
        let (first, mut confirmed) = slot(Start::Live);
        assert!(
            first.refuse(refused(Code::BUSY)),
            "whoever asked is told, also of what may pass"
        );
        assert!(matches!(
            confirmed.try_recv(),
            Ok(Err(SubscribeError::Refused { .. }))
        ));

        let (later, _confirmed) = slot(Start::Live);
        later.confirm(id(1, 0));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(
            !later.refuse(refused(Code::BUSY)),
            "once confirmed, it is asked for again"
        );
        assert!(later.poll_take(&mut cx).is_pending());
        assert!(later.refuse(refused(Code::NOT_AUTHORISED)));
        let Poll::Ready(Taken::End(End::Error(error))) = later.poll_take(&mut cx) else {
            panic!("ended")
        };
        assert_eq!(error.code(), Some(Code::NOT_AUTHORISED));
    }

    #[test]
    fn the_outcome_is_that_of_the_first_stream() {
        let header = |epoch, outcome| StreamHeader {
            id: 1,
            epoch: Epoch::new(epoch),
            position: 4,
            outcome,
        };
        let mut cx = Context::from_waker(Waker::noop());
        let (live, _confirmed) = slot(Start::Live);
        live.confirm(id(1, 4));
        assert!(live.poll_outcome(&mut cx).is_pending());
        live.begun(&header(1, Outcome::Live));
        live.begun(&header(1, Outcome::Gap));
        assert_eq!(live.poll_outcome(&mut cx), Poll::Ready(Some(Outcome::Live)));

        // An epoch of its own says nothing.
        let (later, _confirmed) = slot(Start::After(id(2, 9)));
        later.begun(&header(1, Outcome::Resumed));
        let resumed = Poll::Ready(Some(Outcome::Resumed));
        assert_eq!(later.poll_outcome(&mut cx), resumed);

        let (ended, _confirmed) = slot(Start::Live);
        ended.end(End::Quiet);
        assert_eq!(ended.poll_outcome(&mut cx), Poll::Ready(None));
    }

    #[test]
    fn an_end_reaches_whoever_still_awaits_the_beginning() {
        let (slot, mut confirmed) = slot(Start::Live);
        slot.end(End::of(&CloseReason::RuntimeEnded));
        let result = confirmed.try_recv().unwrap();
        assert!(matches!(
            result,
            Err(SubscribeError::Closed(CloseReason::RuntimeEnded))
        ));
    }
}
