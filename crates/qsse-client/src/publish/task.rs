//! [`StreamTask`]: the task of a publishing stream, which writes events and reads answers.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use qsse_proto::Code;
use qsse_proto::limits::CONTROL_FRAME_BYTES;
use qsse_proto::publish::{AckFrame, AcknowledgedEpoch, KeyScope, PublishRefused};
use qsse_transport::{FrameError, FrameReader, ReadError, RecvStream, SendStream, WriteError};

use super::first_attempt::FirstAttempt;
use super::ledger::{Failure, Violation};
use super::resend::{Numbers, Unanswered};
use super::stream::{PublishStream, State, ended};
use crate::core::Core;
use crate::error::{CloseReason, DisconnectReason, PublishError};
use crate::session::Session;
use crate::text::plain;

mod failover;

/// The task of a publishing stream.
///
/// If it is dropped with its runtime, those who wait for answers get an error.
pub(super) struct StreamTask {
    core: Arc<Core>,
    stream: Arc<PublishStream>,
}

/// Returns the stream that single publishes of this scope share, and opens it if necessary.
pub(super) fn shared_stream(
    core: &Arc<Core>,
    session: &Arc<Session>,
    scope: &KeyScope,
) -> Arc<PublishStream> {
    let room = core.config.publish_in_flight_bytes;
    let make = || PublishStream::new(session, room, scope.clone(), None);
    let (stream, is_new) = core.publish_streams.shared(session, scope, make);
    if is_new {
        StreamTask::spawn(core, &stream);
    }
    stream
}

/// Opens a stream that keeps the order, and begins with what another stream left `unanswered`.
///
/// If the publishes have numbers, those without an answer are sent again when the connection is
/// lost.
pub(super) fn ordered_stream(
    core: &Arc<Core>,
    session: &Arc<Session>,
    unanswered: Unanswered,
) -> Arc<PublishStream> {
    let scope = match unanswered.numbers() {
        Some(Numbers { id, next }) => KeyScope::Numbered {
            id,
            first: next,
            tried: unanswered.tried(),
        },
        None => core.keys.own_scope(),
    };
    let room = core.config.publish_in_flight_bytes;
    let stream = Arc::new(PublishStream::new(session, room, scope, Some(unanswered)));
    core.publish_streams.add(&stream);
    StreamTask::spawn(core, &stream);
    stream
}

impl StreamTask {
    fn spawn(core: &Arc<Core>, stream: &Arc<PublishStream>) {
        let task = Self {
            core: core.clone(),
            stream: stream.clone(),
        };
        core.runtime.spawn(task.run());
    }

    async fn run(self) {
        let mut result = self.serve().await;
        if let Err(error) = result {
            let error = self.connection_error(error).await;
            result = self.fail_over(error).await;
        }
        self.stream.end(result);
    }

    /// Writes events and reads answers until the stream ends.
    async fn serve(&self) -> Result<(), PublishError> {
        let stream = &self.stream;
        let (mut send, recv) = self.open().await?;
        let mut answers = FrameReader::new(recv, CONTROL_FRAME_BYTES);
        let mut queue = VecDeque::from([stream.open_frame().encode()]);
        let mut is_finished = false;
        loop {
            if queue.is_empty() && !is_finished {
                is_finished = self.fill(&mut queue, &mut send);
            }
            if stream.state.lock().is_rejected() {
                send.finish();
                let (code, message) = (Code::SHUTTING_DOWN, String::new());
                return Err(PublishError::Refused { code, message });
            }
            tokio::select! {
                biased;
                frame = answers.next() => match frame {
                    Ok(Some(frame)) => {
                        let answer = AckFrame::decode(frame).map_err(PublishError::Protocol)?;
                        self.process(answer)?;
                    }
                    Ok(None) if is_finished => return Ok(()),
                    Ok(None) => return Err(ended(Code::NO_ERROR)),
                    Err(error) => return Err(self.read_error(error)),
                },
                written = send.write_queue(&mut queue), if !queue.is_empty() => {
                    if let Err(error) = written {
                        // Answers may still arrive. The reading end notices when they are over.
                        queue.clear();
                        is_finished = true;
                        stream.close(write_failure(error));
                    }
                }
                () = stream.wake.notified(), if queue.is_empty() && !is_finished => {}
            }
        }
    }

    /// Opens the stream, once the server permits one more.
    async fn open(&self) -> Result<(SendStream, RecvStream), PublishError> {
        let core = &self.core;
        let opened = tokio::select! {
            biased;
            opened = self.stream.session.connection.open_bi() => opened,
            () = core.sleep(core.config.publish_wait) => return Err(PublishError::NoStream),
        };
        let opened = opened.map_err(|_| self.stream.connection_lost())?;
        self.stream.state.lock().is_opened = true;
        self.stream.progress.notify_waiters();
        Ok(opened)
    }

    /// Moves what has gathered to the queue. Returns true if nothing will follow, in which case it
    /// has finished the stream.
    fn fill(&self, queue: &mut VecDeque<Bytes>, send: &mut SendStream) -> bool {
        let session = &self.stream.session;
        let mut state = self.stream.state.lock();
        let State {
            buffer,
            ledger,
            resend,
            rejected_from,
            ..
        } = &mut *state;
        if rejected_from.is_some() {
            send.finish();
            return true;
        }
        let now = || FirstAttempt::now(session);
        if let Some((bytes, count)) = resend.as_mut().and_then(|resend| resend.next_chunk(now)) {
            queue.push_back(bytes);
            ledger.mark_sent(ledger.sent() + count);
            return false;
        }
        if !buffer.is_empty() {
            let bytes = buffer.split().freeze();
            if let Some(resend) = resend {
                let count = ledger.next() - ledger.sent();
                resend.add_written(bytes.clone(), count, now());
            }
            queue.push_back(bytes);
            ledger.mark_sent(ledger.next());
            return false;
        }
        if state.is_finished {
            send.finish();
        }
        state.is_finished
    }

    /// Processes an answer.
    fn process(&self, answer: AckFrame) -> Result<(), PublishError> {
        let stream = &self.stream;
        let mut state = stream.state.lock();
        let freed = match answer {
            AckFrame::Acknowledged(ack) => state.ledger.acknowledge(ack),
            AckFrame::PublishRefused(refused) => self.refuse(&mut state, refused),
            AckFrame::AcknowledgedEpoch(AcknowledgedEpoch { epoch }) => {
                state.ledger.set_epoch(epoch);
                Ok(0)
            }
            _ => Ok(0),
        };
        let answered = state.ledger.answered();
        if let Some(resend) = &mut state.resend {
            resend.drop_answered(answered);
        }
        drop(state);
        stream.room.add_permits(freed.map_err(violated)?);
        stream.progress.notify_waiters();
        Ok(())
    }

    /// Processes a refusal, and returns how many bytes it frees.
    fn refuse(&self, state: &mut State, refused: PublishRefused) -> Result<usize, Violation> {
        let stream = &self.stream;
        if self.is_rejection(state, &refused) {
            return Ok(0);
        }
        let resend = state.resend.as_ref();
        let tried = resend.is_some_and(|resend| resend.was_tried(refused.number));
        if stream.ordered {
            // The server refuses everything behind it too.
            let (code, message) = (refused.code, plain(refused.message.clone()));
            let mut error = PublishError::Refused { code, message };
            if tried {
                let unanswered = state.ledger.unanswered();
                error = error.after_attempt().with_unacknowledged(unanswered);
            }
            state.fail(error);
            state.is_finished = true;
            stream.room.close();
            stream.wake.notify_one();
        }
        state.ledger.refuse(refused, tried)
    }

    /// Returns whether a publish was refused because the server leaves, or came after such a
    /// publish. It is then sent over the next connection.
    fn is_rejection(&self, state: &mut State, refused: &PublishRefused) -> bool {
        let number = refused.number;
        if let Some(first) = state.rejected_from {
            return number >= first;
        }
        let is_rejection = refused.code == Code::SHUTTING_DOWN
            && self.stream.ordered
            && state.failure.is_none()
            && state.ledger.is_unanswered(number);
        if is_rejection {
            state.rejected_from = Some(number);
            state.closed.get_or_insert(Failure::Unsent);
            // The server says goodbye only when it has answered every client.
            self.stream.session.set_over();
            self.stream.room.close();
        }
        is_rejection
    }

    fn read_error(&self, error: FrameError) -> PublishError {
        match error {
            FrameError::Read(ReadError::Reset(code)) => ended(code),
            FrameError::Decode(error) => PublishError::Protocol(error),
            _ => self.stream.connection_lost(),
        }
    }
}

impl Drop for StreamTask {
    fn drop(&mut self) {
        let error = PublishError::Closed(CloseReason::RuntimeEnded);
        // Changes nothing if the task has ended by itself.
        self.stream.end(Err(error));
        self.core.publish_streams.remove(&self.stream);
    }
}

fn violated(violation: Violation) -> PublishError {
    PublishError::AckLost {
        unacknowledged: 1,
        reason: DisconnectReason::Violation(violation),
    }
}

fn write_failure(error: WriteError) -> Failure {
    match error {
        WriteError::Stopped(code) => Failure::Error(ended(code)),
        _ => Failure::Unsent,
    }
}
