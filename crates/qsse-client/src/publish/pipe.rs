//! [`Pipe`]: a publishing stream.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use qsse_proto::limits::CONTROL_FRAME_BYTES;
use qsse_proto::publish::{self, AckFrame, OpenPublisher, PublisherFrame};
use qsse_proto::{Code, Kind};
use qsse_transport::{FrameError, FrameReader, ReadError, SendStream, WriteError};
use tokio::sync::{Notify, Semaphore};

use super::Progress;
use super::ledger::{Done, Failure, Ledger, Violation};
use crate::core::Core;
use crate::session::Session;
use crate::text::plain;
use crate::{CloseReason, DisconnectReason, PublishError};

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
    ordered: bool,
    /// Bytes that may be in flight.
    room: Semaphore,
    room_bytes: u32,
    state: Mutex<State>,
    /// Something is to be written.
    wake: Notify,
    /// Something was answered, or the pipe has ended.
    progress: Notify,
}

struct State {
    buffer: BytesMut,
    ledger: Ledger,
    /// Why nothing more can be pushed.
    closed: Option<Failure>,
    /// What is to be told to whoever has sent without waiting for each answer.
    failure: Option<PublishError>,
    /// Nothing more will be pushed: the stream may end.
    finished: bool,
    /// The task has ended.
    over: bool,
}

impl Pipe {
    /// A stream on this connection; opened at once by a task of its own.
    pub(crate) fn open(core: &Arc<Core>, session: &Arc<Session>, ordered: bool) -> Arc<Self> {
        let room_bytes = core.config.publish_in_flight_bytes.max(1);
        let pipe = Arc::new(Self {
            session: session.clone(),
            ordered,
            room: Semaphore::new(room_bytes as usize),
            room_bytes,
            state: Mutex::new(State {
                buffer: BytesMut::new(),
                ledger: Ledger::new(session.epoch),
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
            let result = serving.0.serve(&core).await;
            serving.0.end(result);
        });
        pipe
    }

    /// Puts an event into the buffer once there is room. Cancel-safe: before that nothing has happened.
    pub(super) async fn push(
        &self,
        topic: &str,
        matching: bool,
        kind: &Kind,
        data: &[u8],
        done: Option<Done>,
    ) -> Result<(), Failure> {
        let cost = data.len().saturating_add(EVENT_OVERHEAD + topic.len());
        let cost = u32::try_from(cost).unwrap_or(u32::MAX).min(self.room_bytes);
        let room = self.room.acquire_many(cost).await;
        let mut state = self.state.lock();
        match (room, &state.closed) {
            (Ok(room), None) => room.forget(),
            (_, Some(failure)) => return Err(failure.clone()),
            (Err(_), None) => return Err(Failure::Unsent),
        }
        publish::write(&mut state.buffer, matching, topic, kind.as_str(), data);
        state.ledger.push(cost, done);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Whether more can be pushed.
    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().closed.is_none()
    }

    /// Waits until everything pushed so far is answered, or never will be.
    pub(crate) async fn drained(&self) {
        let next = self.state.lock().ledger.next();
        loop {
            let progress = self.progress.notified();
            {
                let state = self.state.lock();
                if state.over || state.ledger.is_answered(next) {
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

    /// Nothing more will be pushed: what has been is still written, then the stream ends.
    pub(crate) fn finish(&self) {
        let mut state = self.state.lock();
        state.finished = true;
        state.closed.get_or_insert(Failure::Unsent);
        drop(state);
        self.room.close();
        self.wake.notify_one();
    }

    async fn serve(&self, core: &Core) -> Result<(), PublishError> {
        let opened = tokio::select! {
            biased;
            opened = self.session.connection.open_bi() => opened,
            () = core.sleep(core.config.publish_wait) => return Err(PublishError::NoStream),
        };
        let (mut send, recv) = opened.map_err(|_| self.lost())?;
        let mut answers = FrameReader::new(recv, CONTROL_FRAME_BYTES);
        let open = PublisherFrame::from(OpenPublisher {
            ordered: self.ordered,
            name: String::new(),
        });
        let mut queue = VecDeque::from([open.encode()]);
        let mut finished = false;
        loop {
            if queue.is_empty() && !finished {
                finished = self.take(&mut queue, &mut send);
            }
            tokio::select! {
                biased;
                frame = answers.next() => match frame {
                    Ok(Some(frame)) => self.answer(AckFrame::decode(frame).map_err(PublishError::Protocol)?)?,
                    Ok(None) if finished => return Ok(()),
                    Ok(None) => return Err(self.ended(Code::NO_ERROR)),
                    Err(FrameError::Read(ReadError::Reset(code))) => return Err(self.ended(code)),
                    Err(FrameError::Decode(error)) => return Err(PublishError::Protocol(error)),
                    Err(_) => return Err(self.lost()),
                },
                written = send.write_queue(&mut queue), if !queue.is_empty() => {
                    if let Err(error) = written {
                        // Answers to what was written before may still come; the reading end tells when they are over.
                        queue.clear();
                        finished = true;
                        self.close(self.refused_by(error));
                    }
                }
                () = self.wake.notified(), if queue.is_empty() && !finished => {}
            }
        }
    }

    /// Takes what has gathered. True when that was all there will ever be, and the stream has been finished.
    fn take(&self, queue: &mut VecDeque<Bytes>, send: &mut SendStream) -> bool {
        let mut state = self.state.lock();
        if !state.buffer.is_empty() {
            queue.push_back(state.buffer.split().freeze());
            state.ledger.mark_sent();
            return false;
        }
        if state.finished {
            send.finish();
        }
        state.finished
    }

    fn answer(&self, frame: AckFrame) -> Result<(), PublishError> {
        let mut state = self.state.lock();
        let room = match frame {
            AckFrame::Acknowledged(ack) => state.ledger.acknowledge(ack),
            AckFrame::PublishRefused(refused) => {
                if self.ordered {
                    // All behind it will be refused too.
                    let (code, message) = (refused.code, plain(refused.message.clone()));
                    state.fail(PublishError::Refused { code, message });
                    state.finished = true;
                    self.room.close();
                    self.wake.notify_one();
                }
                state.ledger.refuse(refused)
            }
            _ => Ok(0),
        };
        drop(state);
        self.room
            .add_permits(room.map_err(|violation| self.violated(violation))?);
        self.progress.notify_waiters();
        Ok(())
    }

    /// Nothing more can be pushed; answers may still come.
    fn close(&self, failure: Failure) {
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
        state.ledger.fail(&error, &unsent);
        drop(state);
        self.room.close();
        self.progress.notify_waiters();
        self.session.forget(self);
    }

    fn lost(&self) -> PublishError {
        self.session.set_over();
        PublishError::AckLost {
            unacknowledged: 1,
            reason: self.session.lost(),
        }
    }

    fn ended(&self, code: Code) -> PublishError {
        PublishError::Ended {
            code,
            unacknowledged: 1,
        }
    }

    fn violated(&self, violation: Violation) -> PublishError {
        let reason = DisconnectReason::Violation(violation);
        PublishError::AckLost {
            unacknowledged: 1,
            reason,
        }
    }

    fn refused_by(&self, error: WriteError) -> Failure {
        match error {
            WriteError::Stopped(code) => Failure::Error(self.ended(code)),
            _ => Failure::Unsent,
        }
    }
}

impl State {
    fn fail(&mut self, error: PublishError) {
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
