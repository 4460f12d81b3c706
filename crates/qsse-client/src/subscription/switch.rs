//! How a subscription begins a stream, and how it ends one.

use qsse_proto::stream::Outcome;
use qsse_proto::{Code, EventId, Reset};
use qsse_transport::{ReadError, RecvStream};

use super::Subscription;
use super::active_stream::ActiveStream;
use super::go_stream::GoStream;
use super::qsse_stream::QsseStream;
use super::read::StreamEnd;
use crate::core::Command;
use crate::error::SubscriptionError;
use crate::notice::Notice;
use crate::slot::{GO_EPOCH, NewQsseStream};

impl Subscription {
    /// Begins to read a stream of the Go dialect.
    pub(super) fn begin_go(&mut self, link: u32, stream: RecvStream) {
        let cursor = self.slot.cursor();
        let cursor = cursor.filter(|cursor| cursor.id().epoch() == GO_EPOCH);
        let cursor = cursor.unwrap_or_else(|| self.slot.set_cursor(EventId::new(GO_EPOCH, 0)));
        let stream = GoStream::new(link, stream, cursor.id().seq());
        self.stream = Some(ActiveStream::Go(stream));
        self.cursor = Some(cursor);
    }

    /// Begins to read a stream. Returns a reset if the server's log does not contain the position
    /// that the stream was requested from (QP-7.7).
    pub(super) fn begin_qsse(&mut self, new: NewQsseStream) -> Option<Notice> {
        let header = new.header;
        let stream = QsseStream::new(header.id, new.stream, new.decoder);
        self.stream = Some(ActiveStream::Qsse(stream));
        self.unsure = None;
        if new.resets != self.slot.resets() {
            // A reset has replaced the position that the stream was requested from, so the stream
            // says nothing about the current one.
            self.request_again();
            return None;
        }
        self.cursor = self.slot.cursor();
        self.epoch = header.epoch;
        let cursor = self.cursor.as_ref().map(|cursor| cursor.id());
        if header.outcome == Outcome::Reset {
            let position = header.start();
            self.cursor = Some(self.slot.reset(position));
            return Some(Notice::Reset(Reset::new(cursor, position)));
        }
        let moved = cursor.filter(|cursor| *cursor != header.start());
        let other = moved.filter(|cursor| cursor.epoch() != new.server_epoch);
        self.unsure = other.map(|_| header.epoch);
        None
    }

    /// Handles the end of the stream. Returns the error if it ends the subscription; otherwise
    /// another stream follows.
    pub(super) fn stream_ended(&mut self, end: StreamEnd) -> Option<SubscriptionError> {
        let stream = self.stream.take()?;
        let id = stream.id();
        let error = match end {
            // The driver notices the loss too.
            StreamEnd::Read(ReadError::Connection(_)) => return None,
            StreamEnd::Read(ReadError::Reset(Code::LAGGED))
                if matches!(stream, ActiveStream::Qsse(_)) && self.slot.ends_on_lag() =>
            {
                SubscriptionError::Lagged
            }
            StreamEnd::Read(ReadError::Reset(code)) if !may_resume(code) => {
                // If the refusal on the control stream arrived first, it has a message.
                let refusal = self.slot.take_error();
                refusal.unwrap_or(SubscriptionError::Refused {
                    code,
                    message: String::new(),
                })
            }
            StreamEnd::Decode(error) => {
                stream.stop(error.code());
                SubscriptionError::Protocol(error)
            }
            StreamEnd::Line(error) => {
                stream.stop(Code::PROTOCOL_VIOLATION);
                SubscriptionError::Line(error)
            }
            // It was finished, or reset with a code that is retryable. That may be `LAGGED`: the
            // server needed the memory of a subscription that was not read.
            _ => {
                self.handle.core.command(Command::Resume {
                    key: self.slot.key,
                    id,
                });
                return None;
            }
        };
        Some(self.end(error))
    }

    /// Stops the stream, and requests one that continues at the cursor.
    pub(super) fn request_again(&mut self) {
        if let Some(stream) = self.stream.take() {
            let (key, id) = (self.slot.key, stream.id());
            stream.stop(Code::UNSUBSCRIBED);
            self.handle.core.command(Command::Resume { key, id });
        }
    }
}

/// Returns whether another stream follows one that was reset with this code.
fn may_resume(code: Code) -> bool {
    matches!(code, Code::NO_ERROR | Code::UNKNOWN) || code.is_retryable()
}
