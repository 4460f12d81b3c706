//! [`PublishStream`]: a publishing stream, as publishers and its task share it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use qsse_proto::publish::{self, Key, KeyScope, OpenPublisher, PublisherFrame};
use qsse_proto::{Code, Kind};
use tokio::sync::{Notify, Semaphore};

use super::first_attempt::FirstAttempt;
use super::ledger::{Done, Failure, Ledger};
use super::progress::PublishProgress;
use super::resend::{Numbers, ResendQueue, Unanswered};
use crate::error::PublishError;
use crate::session::Session;

/// What an event in flight costs beside its bytes, so that the number of events is bounded too.
const EVENT_OVERHEAD: usize = 128;

/// A publishing stream. Publishers put events into a buffer, and a task writes what has gathered.
///
/// ```text
///   push ──▶ room ──▶ buffer + ledger ──▶ task ──▶ stream
///             ▲                            │
///             └──────── answers ◀──────────┘
/// ```
pub(crate) struct PublishStream {
    pub(super) session: Arc<Session>,
    pub(super) ordered: bool,
    /// Under which keys or numbers it publishes.
    scope: KeyScope,
    /// When the oldest publish that is sent again was first sent.
    oldest: Option<FirstAttempt>,
    /// How many bytes may still be put in flight.
    pub(super) room: Semaphore,
    room_bytes: u32,
    pub(super) state: Mutex<State>,
    /// Notified when there is something to write.
    pub(super) wake: Notify,
    /// Notified when there was an answer, and when the stream has ended.
    pub(super) progress: Notify,
}

/// One publish to push into a stream.
pub(super) struct Outgoing<'a> {
    /// Topic or pattern.
    pub(super) name: &'a str,
    pub(super) matching: bool,
    pub(super) kind: &'a Kind,
    pub(super) data: &'a [u8],
    /// The key, and the first attempt if this is a retry.
    pub(super) key: Option<(&'a Key, Option<FirstAttempt>)>,
}

pub(super) struct State {
    pub(super) buffer: BytesMut,
    pub(super) ledger: Ledger,
    /// What may be sent again over the next connection; only of an ordered stream.
    pub(super) resend: Option<ResendQueue>,
    /// The numbers for publishes after all of this stream, once `resend` is gone.
    pub(super) next_numbers: Option<Numbers>,
    /// The stream that continues this one over the next connection.
    pub(super) successor: Option<Arc<PublishStream>>,
    /// Set when the server leaves: it has rejected the publishes from this number on.
    pub(super) rejected_from: Option<u64>,
    /// Set while rejected publishes wait for the next connection.
    pub(super) is_moving: bool,
    /// The server lets the stream be used.
    pub(super) is_opened: bool,
    /// Why nothing more can be pushed.
    pub(super) closed: Option<Failure>,
    /// The error for those who do not wait for each answer.
    pub(super) failure: Option<PublishError>,
    /// Nothing more will be pushed, so the stream may end.
    pub(super) is_finished: bool,
    /// The task has ended.
    has_ended: bool,
}

impl PublishStream {
    /// Makes a stream that is not opened yet. It is ordered if it has `unanswered` publishes to
    /// begin with, perhaps none.
    pub(super) fn new(
        session: &Arc<Session>,
        room_bytes: u32,
        scope: KeyScope,
        unanswered: Option<Unanswered>,
    ) -> Self {
        let room_bytes = room_bytes.max(1);
        let mut room = room_bytes as usize;
        let mut ledger = Ledger::new(session.epoch);
        for cost in unanswered.iter().flat_map(Unanswered::costs) {
            // These had room on the stream that they come from.
            room = room.saturating_sub(cost as usize);
            ledger.push(cost, None);
        }
        Self {
            session: session.clone(),
            ordered: unanswered.is_some(),
            scope,
            oldest: unanswered.as_ref().and_then(Unanswered::oldest),
            room: Semaphore::new(room),
            room_bytes,
            state: Mutex::new(State {
                buffer: BytesMut::new(),
                ledger,
                resend: unanswered.map(ResendQueue::new),
                next_numbers: None,
                successor: None,
                rejected_from: None,
                is_moving: false,
                is_opened: false,
                closed: None,
                failure: None,
                is_finished: false,
                has_ended: false,
            }),
            wake: Notify::new(),
            progress: Notify::new(),
        }
    }

    /// Returns the first frame of the stream. It is made when it is written, since it says how long
    /// ago the first attempt was.
    pub(super) fn open_frame(&self) -> PublisherFrame {
        let mut scope = self.scope.clone();
        if let KeyScope::Numbered {
            tried: Some(tried), ..
        } = &mut scope
            && let Some(oldest) = self.oldest
        {
            tried.ago_ms = oldest.retry().ago_ms;
        }
        let ordered = self.ordered;
        OpenPublisher { ordered, scope }.into()
    }

    pub(super) fn scope(&self) -> &KeyScope {
        &self.scope
    }

    /// Returns whether the server recognises its publishes by number, so that they may be sent
    /// again.
    pub(super) fn is_numbered(&self) -> bool {
        matches!(self.scope, KeyScope::Numbered { .. })
    }

    /// Puts an event into the buffer once there is room. Cancel-safe: nothing happens before that.
    pub(super) async fn push(
        &self,
        event: Outgoing<'_>,
        done: Option<Done>,
    ) -> Result<(), Failure> {
        let cost = event.data.len();
        let cost = cost.saturating_add(EVENT_OVERHEAD + event.name.len());
        let cost = u32::try_from(cost).unwrap_or(u32::MAX).min(self.room_bytes);
        if event.is_retry() {
            // The frame says how old a retry is, so it is written only once the stream is open.
            self.until(|state| state.is_opened || state.closed.is_some())
                .await;
        }
        let room = self.room.acquire_many(cost).await;
        let mut state = self.state.lock();
        match (room, &state.closed) {
            (Ok(room), None) => room.forget(),
            (_, Some(failure)) => return Err(failure.clone()),
            (Err(_), None) => return Err(Failure::Unsent),
        }
        let before = state.buffer.len();
        event.write(&mut state.buffer);
        let len = state.buffer.len() - before;
        state.ledger.push(cost, done);
        if let Some(resend) = &mut state.resend {
            resend.push(cost, len);
        }
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Returns whether more can be pushed.
    pub(super) fn is_open(&self) -> bool {
        self.state.lock().closed.is_none()
    }

    /// Returns the numbers for publishes after all of this stream.
    pub(super) fn next_numbers(&self) -> Option<Numbers> {
        let state = self.state.lock();
        let numbers = state.resend.as_ref().and_then(ResendQueue::next_numbers);
        numbers.or(state.next_numbers)
    }

    /// Waits until each publish pushed so far is answered, has failed, or was passed on to the
    /// [`successor`](Self::successor).
    pub(super) async fn drained(&self) {
        let next = self.state.lock().ledger.next();
        self.until(|state| state.ledger.is_answered(next) && !state.is_moving)
            .await;
    }

    /// Waits until no publish pushed so far waits for an answer over this connection.
    pub(super) async fn drained_here(&self) {
        let next = self.state.lock().ledger.next();
        self.until(|state| state.ledger.is_answered(next) || state.is_moving)
            .await;
    }

    async fn until(&self, done: impl Fn(&State) -> bool) {
        loop {
            let progress = self.progress.notified();
            {
                let state = self.state.lock();
                if state.has_ended || done(&state) {
                    return;
                }
            }
            progress.await;
        }
    }

    /// Returns the error for those who do not wait for each answer.
    pub(super) fn failure(&self) -> Option<PublishError> {
        self.state.lock().failure.clone()
    }

    pub(super) fn progress(&self) -> PublishProgress {
        self.state.lock().ledger.progress
    }

    /// Returns the stream that continues this one.
    pub(super) fn successor(&self) -> Option<Arc<Self>> {
        self.state.lock().successor.clone()
    }

    /// Ends the stream once everything pushed is written. Nothing more can be pushed.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock();
        state.is_finished = true;
        state.closed.get_or_insert(Failure::Unsent);
        drop(state);
        self.room.close();
        self.wake.notify_one();
    }

    /// Refuses further pushes. Answers may still arrive.
    pub(super) fn close(&self, failure: Failure) {
        self.state.lock().closed.get_or_insert(failure);
        self.room.close();
    }

    /// Fails everything without an answer, since the task has ended. Only the first call counts.
    pub(super) fn end(&self, result: Result<(), PublishError>) {
        let error = result.err().unwrap_or_else(|| ended(Code::NO_ERROR));
        let unsent = match &error {
            // What was not sent can be sent over the next connection.
            PublishError::AckLost { .. } => Failure::Unsent,
            error => Failure::Error(error.clone()),
        };
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.has_ended, true) {
            return;
        }
        let unanswered = state.ledger.unanswered();
        if unanswered > 0 {
            state
                .failure
                .get_or_insert_with(|| error.clone().with_unacknowledged(unanswered));
        }
        state.closed.get_or_insert(unsent.clone());
        state.buffer = BytesMut::new();
        let resend = state.resend.take();
        let numbers = resend.and_then(|resend| resend.next_numbers());
        state.next_numbers = numbers.or(state.next_numbers);
        state.ledger.fail(&error, &unsent);
        drop(state);
        self.room.close();
        self.progress.notify_waiters();
    }

    /// Returns the error of publishes whose connection is lost, and records that it is.
    pub(super) fn connection_lost(&self) -> PublishError {
        self.session.set_over();
        PublishError::AckLost {
            unacknowledged: 1,
            reason: self.session.lost(),
        }
    }
}

/// Returns the error of a publish whose stream the server ended with this code.
pub(super) fn ended(code: Code) -> PublishError {
    PublishError::Ended {
        code,
        unacknowledged: 1,
    }
}

impl Outgoing<'_> {
    fn is_retry(&self) -> bool {
        self.key.is_some_and(|(_, first)| first.is_some())
    }

    /// Writes the frame. A retry says how long ago the first attempt was.
    fn write(self, out: &mut BytesMut) {
        let Self {
            name,
            matching,
            kind,
            data,
            key,
        } = self;
        let Some((key, first)) = key else {
            return publish::write(out, matching, name, kind.as_str(), data);
        };
        let retry = first.map(|first| first.retry());
        publish::write_keyed(out, matching, name, kind.as_str(), (key, retry), data);
    }
}

impl State {
    /// Returns whether the server leaves, and has answered everything that it did not reject.
    pub(super) fn is_rejected(&self) -> bool {
        self.rejected_from == Some(self.ledger.answered()) && self.failure.is_none()
    }

    /// Takes out what has no answer, for another stream.
    pub(super) fn take_unanswered(
        &mut self,
        into_unanswered: impl FnOnce(ResendQueue, Bytes) -> Unanswered,
    ) -> Option<Unanswered> {
        let resend = self.resend.take()?;
        let unanswered = into_unanswered(resend, self.buffer.split().freeze());
        self.ledger.move_unanswered();
        Some(unanswered)
    }

    pub(super) fn fail(&mut self, error: PublishError) {
        self.closed
            .get_or_insert_with(|| Failure::Error(error.clone()));
        self.failure.get_or_insert(error);
    }
}
