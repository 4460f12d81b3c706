//! The task of a publishing stream: events out, answers in.

use std::collections::VecDeque;

use bytes::Bytes;
use qsse_proto::Code;
use qsse_proto::limits::CONTROL_FRAME_BYTES;
use qsse_proto::publish::{AckFrame, AcknowledgedEpoch, PublishRefused};
use qsse_transport::{FrameError, FrameReader, ReadError, SendStream, WriteError};

use super::keys::unknown;
use super::ledger::{Failure, Violation};
use super::pipe::{Pipe, State};
use crate::core::Core;
use crate::error::PublishError;
use crate::state::DisconnectReason;
use crate::text::plain;

impl Pipe {
    /// Opens the stream, writes what gathers and takes the answers, until it ends.
    pub(super) async fn serve(&self, core: &Core) -> Result<(), PublishError> {
        let opened = tokio::select! {
            biased;
            opened = self.session.connection.open_bi() => opened,
            () = core.sleep(core.config.publish_wait) => return Err(PublishError::NoStream),
        };
        let (mut send, recv) = opened.map_err(|_| self.lost())?;
        self.state.lock().opened = true;
        self.progress.notify_waiters();
        let mut answers = FrameReader::new(recv, CONTROL_FRAME_BYTES);
        let open = self.open_frame();
        let mut queue = VecDeque::from([open.encode()]);
        let mut finished = false;
        loop {
            if queue.is_empty() && !finished {
                finished = self.take(&mut queue, &mut send);
            }
            if self.state.lock().is_turned_away() {
                send.finish();
                let (code, message) = (Code::SHUTTING_DOWN, String::new());
                return Err(PublishError::Refused { code, message });
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
        let State {
            buffer,
            ledger,
            again,
            turned_away,
            ..
        } = &mut *state;
        if turned_away.is_some() {
            send.finish();
            return true;
        }
        if let Some((bytes, count)) = again.as_mut().and_then(|again| again.next(&self.session)) {
            queue.push_back(bytes);
            ledger.mark_sent(ledger.sent() + count);
            return false;
        }
        if !buffer.is_empty() {
            let bytes = buffer.split().freeze();
            if let Some(again) = again {
                let count = ledger.next() - ledger.sent();
                again.wrote(bytes.clone(), count, &self.session);
            }
            queue.push_back(bytes);
            ledger.mark_sent(ledger.next());
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
            AckFrame::PublishRefused(refused) if self.is_turned_away(&mut state, &refused) => Ok(0),
            AckFrame::PublishRefused(refused) => {
                let again = state.again.as_ref();
                let tried = again.is_some_and(|again| again.was_tried(refused.number));
                if self.ordered {
                    // All behind it will be refused too.
                    let (code, message) = (refused.code, plain(refused.message.clone()));
                    let mut error = PublishError::Refused { code, message };
                    if tried {
                        error = unknown(error).with_unacknowledged(state.ledger.unanswered());
                    }
                    state.fail(error);
                    state.finished = true;
                    self.room.close();
                    self.wake.notify_one();
                }
                state.ledger.refuse(refused, tried)
            }
            AckFrame::AcknowledgedEpoch(AcknowledgedEpoch { epoch }) => {
                state.ledger.epoch_is(epoch);
                Ok(0)
            }
            _ => Ok(0),
        };
        let answered = state.ledger.answered();
        if let Some(again) = &mut state.again {
            again.forget(answered);
        }
        drop(state);
        self.room
            .add_permits(room.map_err(|violation| self.violated(violation))?);
        self.progress.notify_waiters();
        Ok(())
    }

    /// Whether a publish was refused because the server goes away, or behind such a one: it is good for the next connection.
    fn is_turned_away(&self, state: &mut State, refused: &PublishRefused) -> bool {
        let number = refused.number;
        if let Some(first) = state.turned_away {
            return number >= first;
        }
        let sent = state.ledger.is_unanswered(number);
        if refused.code != Code::SHUTTING_DOWN || !self.ordered || state.failure.is_some() || !sent
        {
            return false;
        }
        state.turned_away = Some(number);
        state.closed.get_or_insert(Failure::Unsent);
        // Goodbye comes only when everybody is answered.
        self.session.set_over();
        self.room.close();
        true
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
