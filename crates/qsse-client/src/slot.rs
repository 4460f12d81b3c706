//! [`Slot`]: what a subscription and the driver share.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Mutex, MutexGuard};
use qsse_proto::EventId;
use qsse_proto::control::{OnLag, Refused, Start, Subscribe};
use qsse_proto::stream::{Outcome, StreamHeader};
use qsse_topic::{Filter, Pattern};
use tokio::sync::oneshot;

use crate::error::{CloseReason, SubscribeError, SubscriptionError};
use crate::notice::Notice;
use crate::text::plain;

mod atomic_cursor;
mod go;
mod pending_streams;
mod position;

pub(crate) use atomic_cursor::{AtomicCursor, GO_EPOCH};
pub(crate) use pending_streams::{NewQsseStream, NewStream};
use pending_streams::{Pending, PendingStreams};
use position::Position;

/// What a subscription and the driver share: the position, and the streams to read next.
///
/// The driver adds streams and asks where to resume. The subscription takes streams and moves the
/// position. Neither waits for the other.
pub(crate) struct Slot {
    pub(crate) key: u64,
    pub(crate) filter: Filter,
    /// The patterns as they were given, for a Go server.
    offered: Vec<String>,
    on_lag: OnLag,
    shared: Mutex<Shared>,
}

struct Shared {
    position: Position,
    /// How the server met the start; known with the first stream.
    outcome: Option<Outcome>,
    pending: PendingStreams,
    end: Option<End>,
    waker: Option<Waker>,
    /// Answers the call that makes the subscription.
    confirm: Option<oneshot::Sender<Result<(), SubscribeError>>>,
}

/// How a subscription ends.
pub(crate) enum End {
    /// Without an error, because this side closed the client.
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

/// What a subscription without a stream gets next.
pub(crate) enum Next {
    Stream(NewStream),
    Notice(Notice),
    End(End),
}

/// What a subscription is made from.
pub(crate) struct SlotOptions {
    pub(crate) filter: Filter,
    /// The patterns as they were given.
    pub(crate) offered: Vec<String>,
    pub(crate) start: Start,
    pub(crate) on_lag: OnLag,
}

impl Slot {
    pub(crate) fn new(
        key: u64,
        options: SlotOptions,
        confirm: oneshot::Sender<Result<(), SubscribeError>>,
    ) -> Self {
        let SlotOptions {
            filter,
            offered,
            start,
            on_lag,
        } = options;
        let shared = Shared {
            position: Position::new(start),
            outcome: None,
            pending: PendingStreams::default(),
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

    /// Returns the frame that requests the subscription from its current position.
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
            start: shared.position.start(),
            on_lag: self.on_lag,
        }
    }

    /// Records that the server started the subscription after `position`.
    pub(crate) fn confirm(&self, position: EventId) {
        let mut shared = self.shared.lock();
        shared.position.confirm(position);
        if let Some(confirm) = shared.confirm.take() {
            let _ = confirm.send(Ok(()));
        }
    }

    /// Records the header of a stream that the server opened.
    pub(crate) fn stream_opened(&self, header: &StreamHeader) {
        self.confirm(header.start());
        self.shared.lock().outcome.get_or_insert(header.outcome);
    }

    /// Waits for how the server met the start; `None` if the subscription ended before.
    pub(crate) fn poll_outcome(&self, cx: &mut Context<'_>) -> Poll<Option<Outcome>> {
        let mut shared = self.shared.lock();
        if shared.outcome.is_some() || shared.end.is_some() {
            return Poll::Ready(shared.outcome);
        }
        shared.wait(cx);
        Poll::Pending
    }

    /// Records that the server refused the subscription.
    ///
    /// Returns false if it does not end, because the server once accepted it and may do so again.
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
        let is_final = !code.is_retryable();
        if is_final {
            self.end(End::Error(SubscriptionError::Refused { code, message }));
        }
        is_final
    }

    /// Adds a stream that the server opened.
    pub(crate) fn push_stream(&self, stream: NewStream) {
        let mut shared = self.shared.lock();
        let replaced = shared.pending.push_stream(stream);
        let waker = shared.waker.take();
        drop(shared);
        drop(replaced);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the subscription behind everything received so far. Only the first end counts.
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
        unlock_and_wake(shared);
    }

    /// Waits for the next stream, the notice before it, or the end.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut shared = self.shared.lock();
        if let Some(pending) = shared.pending.pop() {
            return Poll::Ready(match pending {
                Pending::Stream(stream) => Next::Stream(stream),
                Pending::Notice(notice) => Next::Notice(notice),
            });
        }
        if let Some(end) = shared.end.take() {
            return Poll::Ready(Next::End(end));
        }
        shared.wait(cx);
        Poll::Pending
    }

    /// Takes the error that the subscription ends with, if it is known.
    pub(crate) fn take_error(&self) -> Option<SubscriptionError> {
        match self.shared.lock().end.take() {
            Some(End::Error(error)) => Some(error),
            _ => None,
        }
    }

    /// Returns the cursor, if the subscription is confirmed or starts after an event.
    pub(crate) fn cursor(&self) -> Option<Arc<AtomicCursor>> {
        self.shared.lock().position.cursor()
    }

    /// Returns whether the subscription asked to end when it lags.
    pub(crate) fn ends_on_lag(&self) -> bool {
        self.on_lag == OnLag::Disconnect
    }

    /// Returns how many resets there were. The position of a stream that was requested before the
    /// last one is of another log.
    pub(crate) fn resets(&self) -> u64 {
        self.shared.lock().position.resets()
    }

    /// Moves the cursor to where another log begins, wherever it was.
    pub(crate) fn reset(&self, position: EventId) -> Arc<AtomicCursor> {
        self.shared.lock().position.reset(position)
    }

    /// Puts a new cursor at the first event of an epoch.
    pub(crate) fn set_cursor(&self, id: EventId) -> Arc<AtomicCursor> {
        self.shared.lock().position.set_cursor(id)
    }

    /// Returns the current position, or where the subscription started.
    pub(crate) fn position(&self) -> Option<EventId> {
        self.shared.lock().position.current()
    }
}

impl Shared {
    /// Has the subscription's task woken by the next change.
    fn wait(&mut self, cx: &mut Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
    }
}

/// Wakes the subscription's task, without the lock.
fn unlock_and_wake(mut shared: MutexGuard<'_, Shared>) {
    let waker = shared.waker.take();
    drop(shared);
    if let Some(waker) = waker {
        waker.wake();
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
        let options = SlotOptions {
            filter,
            offered: Vec::new(),
            start,
            on_lag: OnLag::CatchUp,
        };
        (Slot::new(0, options, confirm), confirmed)
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
        // Only events move the cursor, not a later connection.
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
        let cursor = slot.cursor().unwrap();
        assert!(cursor.advance(id(1, 12)));
        assert!(cursor.covers(id(1, 12)) && !cursor.covers(id(1, 13)));
        // Seqs rise across the epochs of a log. Numbers of the Go dialect do not compare with them.
        assert!(cursor.covers(id(2, 12)) && !cursor.covers(id(2, 13)) && !cursor.covers(id(0, 1)));
        assert!(
            !cursor.advance(id(2, 1)),
            "another epoch needs another cursor"
        );
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
            "the caller gets every refusal, also one that is retryable"
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
            "once confirmed, it is requested again"
        );
        assert!(later.poll_next(&mut cx).is_pending());
        assert!(later.refuse(refused(Code::NOT_AUTHORISED)));
        let Poll::Ready(Next::End(End::Error(error))) = later.poll_next(&mut cx) else {
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
        live.stream_opened(&header(1, Outcome::Live));
        live.stream_opened(&header(1, Outcome::Gap));
        assert_eq!(live.poll_outcome(&mut cx), Poll::Ready(Some(Outcome::Live)));

        // The epoch does not matter.
        let (later, _confirmed) = slot(Start::After(id(2, 9)));
        later.stream_opened(&header(1, Outcome::Resumed));
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
