//! [`Pipe`]: a publishing stream.

use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use qsse_proto::publish::{self, Key, KeyScope, OpenPublisher, PublisherFrame};
use qsse_proto::{Code, Kind};
use tokio::sync::{Notify, Semaphore};

use super::Progress;
use super::again::{Again, Left, Numbers};
use super::keys::First;
use super::ledger::{Done, Failure, Ledger};
use crate::core::Core;
use crate::error::PublishError;
use crate::session::Session;
use crate::state::CloseReason;

/// What an event in flight costs beside its bytes, so that their number is bounded too.
const EVENT_OVERHEAD: usize = 128;

/// A publishing stream: events are gathered in a buffer, and a task writes what has gathered in one go.
///
/// ```text
///   push ──▶ room ──▶ buffer + ledger ──▶ task ──▶ stream
///             ▲                            │
///             └──────── answers ◀──────────┘
/// ```
pub(crate) struct Pipe {
    pub(super) session: Arc<Session>,
    pub(super) ordered: bool,
    /// As what it publishes.
    pub(super) scope: KeyScope,
    /// When the oldest of what it sends again was first on its way.
    oldest: Option<First>,
    /// Bytes that may be in flight.
    pub(super) room: Semaphore,
    room_bytes: u32,
    pub(super) state: Mutex<State>,
    /// Something is to be written.
    pub(super) wake: Notify,
    /// Something was answered, or the pipe has ended.
    pub(super) progress: Notify,
}

/// One publish on its way into a pipe.
pub(super) struct Event<'a> {
    /// Topic or pattern.
    pub(super) name: &'a str,
    pub(super) matching: bool,
    pub(super) kind: &'a Kind,
    pub(super) data: &'a [u8],
    /// Its key, and when it was first on its way if this is not the first attempt.
    pub(super) key: Option<(&'a Key, Option<First>)>,
}

pub(super) struct State {
    pub(super) buffer: BytesMut,
    pub(super) ledger: Ledger,
    /// What to send again over the next connection, where that may be.
    pub(super) again: Option<Again>,
    /// The numbers behind all that was pushed, once there is none of that.
    pub(super) behind: Option<Numbers>,
    /// The pipe that does.
    pub(super) successor: Option<Arc<Pipe>>,
    /// The server is going away: it has taken none from this number on.
    pub(super) turned_away: Option<u64>,
    /// What it has not taken waits for the next connection.
    pub(super) leaving: bool,
    /// The server has let the stream be opened.
    pub(super) opened: bool,
    /// Why nothing more can be pushed.
    pub(super) closed: Option<Failure>,
    /// What is to be told to whoever has sent without waiting for each answer.
    pub(super) failure: Option<PublishError>,
    /// Nothing more will be pushed: the stream may end.
    pub(super) finished: bool,
    /// The task has ended.
    over: bool,
}

impl Pipe {
    /// A stream that single publishes share; opened at once by a task of its own.
    pub(crate) fn shared(core: &Arc<Core>, session: &Arc<Session>, scope: KeyScope) -> Arc<Self> {
        Self::open(core, session, scope, None)
    }

    /// A stream in which the order is kept, and which begins with what another one left. If that has numbers, what has no answer when the
    /// connection is lost is sent again.
    pub(crate) fn ordered(core: &Arc<Core>, session: &Arc<Session>, left: Left) -> Arc<Self> {
        let scope = match left.numbers() {
            Some(Numbers { id, next }) => KeyScope::Numbered {
                id,
                first: next,
                tried: left.mark(),
            },
            None => core.keys.own(),
        };
        Self::open(core, session, scope, Some(left))
    }

    fn open(
        core: &Arc<Core>,
        session: &Arc<Session>,
        scope: KeyScope,
        left: Option<Left>,
    ) -> Arc<Self> {
        let room_bytes = core.config.publish_in_flight_bytes.max(1);
        let mut room = room_bytes as usize;
        let mut ledger = Ledger::new(session.epoch);
        for cost in left.iter().flat_map(Left::costs) {
            // They had room enough where they come from.
            room = room.saturating_sub(cost as usize);
            ledger.push(cost, None);
        }
        let pipe = Arc::new(Self {
            session: session.clone(),
            ordered: left.is_some(),
            scope,
            oldest: left.as_ref().and_then(Left::oldest),
            room: Semaphore::new(room),
            room_bytes,
            state: Mutex::new(State {
                buffer: BytesMut::new(),
                ledger,
                again: left.map(Again::of),
                behind: None,
                successor: None,
                turned_away: None,
                leaving: false,
                opened: false,
                closed: None,
                failure: None,
                finished: false,
                over: false,
            }),
            wake: Notify::new(),
            progress: Notify::new(),
        });
        let serving = Serving(pipe.clone());
        let core = core.clone();
        core.runtime.clone().spawn(async move {
            let pipe = &serving.0;
            let mut result = pipe.serve(&core).await;
            if let Err(error) = result {
                let error = pipe.settle(&core, error).await;
                result = pipe.succeed(&core, error).await;
            }
            pipe.end(result);
        });
        pipe
    }

    /// The first frame of the stream, as of now: what is tried again grows older while it waits for the stream.
    pub(super) fn open_frame(&self) -> PublisherFrame {
        let mut scope = self.scope.clone();
        if let KeyScope::Numbered {
            tried: Some(tried), ..
        } = &mut scope
            && let Some(oldest) = self.oldest
        {
            tried.ago_ms = oldest.mark().ago_ms;
        }
        let ordered = self.ordered;
        OpenPublisher { ordered, scope }.into()
    }

    /// As what it publishes.
    pub(crate) fn scope(&self) -> &KeyScope {
        &self.scope
    }

    /// Puts an event into the buffer once there is room. Cancel-safe: before that nothing has happened.
    pub(super) async fn push(&self, event: Event<'_>, done: Option<Done>) -> Result<(), Failure> {
        let cost = event.data.len();
        let cost = cost.saturating_add(EVENT_OVERHEAD + event.name.len());
        let cost = u32::try_from(cost).unwrap_or(u32::MAX).min(self.room_bytes);
        if event.is_retry() {
            // The mark says how old it is when it is written, which is not before the stream is there.
            self.until(|state| state.opened || state.closed.is_some())
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
        if let Some(again) = &mut state.again {
            again.push(cost, len);
        }
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Whether more can be pushed.
    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().closed.is_none()
    }

    /// Whether what has no answer when the connection is lost may be sent again.
    pub(super) fn is_numbered(&self) -> bool {
        matches!(self.scope, KeyScope::Numbered { .. })
    }

    /// The numbers for what comes after all that was pushed.
    pub(super) fn numbers_behind(&self) -> Option<Numbers> {
        let state = self.state.lock();
        let behind = state.again.as_ref().and_then(Again::numbers_behind);
        behind.or(state.behind)
    }

    /// Waits until everything pushed so far is answered, never will be, or is the matter of the [`successor`](Self::successor).
    pub(crate) async fn drained(&self) {
        let next = self.state.lock().ledger.next();
        self.until(|state| state.ledger.is_answered(next) && !state.leaving)
            .await;
    }

    /// Waits until nothing more of what was pushed so far is to come over this connection.
    pub(crate) async fn quiet(&self) {
        let next = self.state.lock().ledger.next();
        self.until(|state| state.ledger.is_answered(next) || state.leaving)
            .await;
    }

    async fn until(&self, done: impl Fn(&State) -> bool) {
        loop {
            let progress = self.progress.notified();
            {
                let state = self.state.lock();
                if state.over || done(&state) {
                    return;
                }
            }
            progress.await;
        }
    }

    /// What went wrong, for whoever does not wait for each answer.
    pub(super) fn failure(&self) -> Option<PublishError> {
        self.state.lock().failure.clone()
    }

    pub(super) fn progress(&self) -> Progress {
        self.state.lock().ledger.progress
    }

    /// The pipe that goes on where this one stopped.
    pub(super) fn successor(&self) -> Option<Arc<Self>> {
        self.state.lock().successor.clone()
    }

    /// Nothing more will be pushed: what has been is still written, then the stream ends.
    pub(crate) fn finish(&self) {
        let mut state = self.state.lock();
        state.finished = true;
        state.closed.get_or_insert(Failure::Unsent);
        drop(state);
        self.room.close();
        self.wake.notify_one();
    }

    /// Nothing more can be pushed; answers may still come.
    pub(super) fn close(&self, failure: Failure) {
        self.state.lock().closed.get_or_insert(failure);
        self.room.close();
    }

    /// The task has ended. Only the first time counts.
    fn end(&self, result: Result<(), PublishError>) {
        let error = result.err().unwrap_or_else(|| self.ended(Code::NO_ERROR));
        let unsent = match &error {
            // The next connection may do.
            PublishError::AckLost { .. } => Failure::Unsent,
            error => Failure::Error(error.clone()),
        };
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.over, true) {
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
        let behind = state.again.take().and_then(|again| again.numbers_behind());
        state.behind = behind.or(state.behind);
        state.ledger.fail(&error, &unsent);
        drop(state);
        self.room.close();
        self.progress.notify_waiters();
        self.session.forget(self);
    }

    pub(super) fn lost(&self) -> PublishError {
        self.session.set_over();
        PublishError::AckLost {
            unacknowledged: 1,
            reason: self.session.lost(),
        }
    }

    pub(super) fn ended(&self, code: Code) -> PublishError {
        PublishError::Ended {
            code,
            unacknowledged: 1,
        }
    }
}

impl Event<'_> {
    fn is_retry(&self) -> bool {
        self.key.is_some_and(|(_, first)| first.is_some())
    }

    /// Its frame, with the mark of a retry as of now.
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
        let retry = first.map(|first| first.mark());
        publish::write_keyed(out, matching, name, kind.as_str(), (key, retry), data);
    }
}

impl State {
    /// Whether the server goes away, and has answered everything that it still took.
    pub(super) fn is_turned_away(&self) -> bool {
        self.turned_away == Some(self.ledger.answered()) && self.failure.is_none()
    }

    pub(super) fn fail(&mut self, error: PublishError) {
        self.closed
            .get_or_insert_with(|| Failure::Error(error.clone()));
        self.failure.get_or_insert(error);
    }
}

/// Tells those who wait when the task is dropped with its runtime.
struct Serving(Arc<Pipe>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0
            .end(Err(PublishError::Closed(CloseReason::RuntimeEnded)));
    }
}
