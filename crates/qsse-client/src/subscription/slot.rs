//! [`Slot`]: what a subscription and the driver share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use qsse_proto::control::{OnLag, Refused, Start, Subscribe};
use qsse_proto::stream::{Decoder, StreamHeader};
use qsse_proto::{Epoch, EventId};
use qsse_topic::{Filter, Pattern};
use qsse_transport::RecvStream;
use tokio::sync::oneshot;

use crate::text::plain;
use crate::{CloseReason, SubscribeError, SubscriptionError};

/// What a subscription and the driver share: where it stands, and the stream that comes next.
///
/// The driver puts streams in, and asks where to resume; the subscription takes streams out, and moves its position. Neither
/// waits for the other.
pub(crate) struct Slot {
    pub(crate) key: u64,
    pub(crate) filter: Filter,
    start: Start,
    on_lag: OnLag,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The last event handed out, or a position that is as good: everything up to it has been or does not match.
    mark: Option<Arc<Mark>>,
    /// Where the server let it begin.
    started: Option<EventId>,
    /// The newest stream, until the subscription takes it. Older ones not yet taken are of no use: the newest one resumes from the
    /// same position.
    stream: Option<Incoming>,
    end: Option<End>,
    waker: Option<Waker>,
    /// Whoever awaits the subscription's being made.
    confirm: Option<oneshot::Sender<Result<(), SubscribeError>>>,
}

/// A position in one epoch, moved by the subscription for each event without a lock, read by the driver.
pub(crate) struct Mark {
    epoch: Epoch,
    seq: AtomicU64,
}

impl Mark {
    fn new(id: EventId) -> Arc<Self> {
        Arc::new(Self {
            epoch: id.epoch(),
            seq: AtomicU64::new(id.seq()),
        })
    }

    pub(crate) fn id(&self) -> EventId {
        EventId::new(self.epoch, self.seq.load(Ordering::Acquire))
    }

    /// Moves to `id`; false if that is of another epoch.
    #[inline]
    pub(crate) fn advance(&self, id: EventId) -> bool {
        let same = self.epoch == id.epoch();
        if same {
            self.seq.store(id.seq(), Ordering::Release);
        }
        same
    }

    /// Whether everything up to `id` has been handed out.
    #[inline]
    pub(crate) fn covers(&self, id: EventId) -> bool {
        self.epoch == id.epoch() && id.seq() <= self.seq.load(Ordering::Relaxed)
    }
}

/// A stream whose header has come.
pub(crate) struct Incoming {
    pub(crate) stream: RecvStream,
    pub(crate) decoder: Decoder,
    pub(crate) header: StreamHeader,
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
    Stream(Box<Incoming>),
    End(End),
}

impl Slot {
    pub(crate) fn new(
        key: u64,
        filter: Filter,
        start: Start,
        on_lag: OnLag,
        confirm: oneshot::Sender<Result<(), SubscribeError>>,
    ) -> Self {
        let mark = match start {
            Start::After(id) => Some(Mark::new(id)),
            _ => None,
        };
        let shared = Shared {
            mark,
            confirm: Some(confirm),
            ..Shared::default()
        };
        Self {
            key,
            filter,
            start,
            on_lag,
            shared: Mutex::new(shared),
        }
    }

    /// The frame that asks for it, from where it stands now.
    pub(crate) fn request(&self, id: u32) -> Subscribe {
        let mark = self.shared.lock().mark.clone();
        Subscribe {
            id,
            patterns: self
                .filter
                .patterns()
                .iter()
                .map(Pattern::to_string)
                .collect(),
            start: mark.map_or(self.start, |mark| Start::After(mark.id())),
            on_lag: self.on_lag,
        }
    }

    /// The server let it begin after `position`.
    pub(crate) fn confirm(&self, position: EventId) {
        let mut shared = self.shared.lock();
        shared.started.get_or_insert(position);
        // A live subscription stands at once, so that what is published during an early loss is not missed. Other starts are asked
        // for again until an event has come.
        if self.start == Start::Live && shared.mark.is_none() {
            shared.mark = Some(Mark::new(position));
        }
        if let Some(confirm) = shared.confirm.take() {
            let _ = confirm.send(Ok(()));
        }
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
    pub(crate) fn offer(&self, incoming: Incoming) {
        let mut shared = self.shared.lock();
        let older = shared.stream.replace(incoming);
        let waker = shared.waker.take();
        drop(shared);
        drop(older);
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

    /// The next stream, or the end.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Taken> {
        let mut shared = self.shared.lock();
        if let Some(incoming) = shared.stream.take() {
            return Poll::Ready(Taken::Stream(Box::new(incoming)));
        }
        if let Some(end) = shared.end.take() {
            return Poll::Ready(Taken::End(end));
        }
        match &mut shared.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
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
        self.shared.lock().mark.clone()
    }

    /// Puts the subscription behind the first event of an epoch.
    pub(crate) fn set_mark(&self, id: EventId) -> Arc<Mark> {
        let mark = Mark::new(id);
        self.shared.lock().mark = Some(mark.clone());
        mark
    }

    /// Where the subscription stands, or began.
    pub(crate) fn position(&self) -> Option<EventId> {
        let shared = self.shared.lock();
        shared
            .mark
            .as_ref()
            .map(|mark| mark.id())
            .or(shared.started)
    }
}

#[cfg(test)]
mod tests {
    use qsse_proto::Code;
    use qsse_topic::IntoFilter;

    use super::*;

    fn slot(start: Start) -> (Slot, oneshot::Receiver<Result<(), SubscribeError>>) {
        let (confirm, confirmed) = oneshot::channel();
        let filter = ["ride.*", "people"].into_filter().unwrap();
        (
            Slot::new(0, filter, start, OnLag::CatchUp, confirm),
            confirmed,
        )
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
    fn other_starts_are_asked_for_again_until_an_event_came() {
        let (slot, _confirmed) = slot(Start::Earliest);
        slot.confirm(id(1, 7));
        assert_eq!(
            slot.position(),
            Some(id(1, 7)),
            "the cursor is valid before the first event"
        );
        assert_eq!(slot.request(2).start, Start::Earliest);
        let mark = slot.set_mark(id(1, 9));
        assert!(mark.advance(id(1, 12)));
        assert!(mark.covers(id(1, 12)) && !mark.covers(id(1, 13)) && !mark.covers(id(2, 1)));
        assert!(!mark.advance(id(2, 1)), "another epoch needs another mark");
        assert_eq!(slot.request(3).start, Start::After(id(1, 12)));
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
