//! What a [`Slot`] does only with a server of the Go dialect.

use qsse_proto::control::{OnLag, Start};
use qsse_proto::stream::Outcome;
use qsse_proto::{Code, EventId};

use super::atomic_cursor::GO_EPOCH;
use super::{End, Slot, unlock_and_wake};
use crate::error::{SubscribeError, SubscriptionError};
use crate::notice::{Loss, Notice};

/// The position before the first event.
const START: EventId = EventId::new(GO_EPOCH, 0);

impl Slot {
    /// Returns the patterns as they were given. A Go server compares them literally.
    pub(crate) fn offered(&self) -> &[String] {
        &self.offered
    }

    /// Switches to the Go dialect. Returns true if the server spoke another dialect before, so that
    /// events may be lost.
    ///
    /// # Errors
    /// Names what the subscription needs and the dialect lacks. The subscription has then ended.
    pub(crate) fn enter_go(&self) -> Result<bool, &'static str> {
        let mut shared = self.shared.lock();
        let is_new = shared.confirm.is_some();
        let missing = if self.on_lag != OnLag::default() {
            Some("on_lag")
        } else if is_new && shared.position.requested() != Start::Live {
            // A subscription that was confirmed before has had its start.
            Some("a start other than live")
        } else {
            None
        };
        let Some(what) = missing else {
            let before = shared.position.cursor();
            shared.position.set_cursor(START);
            return Ok(!is_new && before.is_none_or(|cursor| cursor.id().epoch() != GO_EPOCH));
        };
        if let Some(confirm) = shared.confirm.take() {
            let _ = confirm.send(Err(SubscribeError::Unsupported { what }));
        }
        drop(shared);
        self.end(End::Error(SubscriptionError::Refused {
            code: Code::UNSUPPORTED,
            message: format!("the server now speaks the Go library's protocol, without {what}"),
        }));
        Err(what)
    }

    /// Confirms the subscription once its offer is written. The server sends no confirmation.
    pub(crate) fn confirm_offer(&self) {
        self.confirm(START);
        let mut shared = self.shared.lock();
        shared.outcome.get_or_insert(Outcome::Live);
        unlock_and_wake(shared);
    }

    /// Switches to `qsse/1`, where the subscription starts with the next published event.
    pub(crate) fn leave_go(&self) {
        let mut shared = self.shared.lock();
        if shared.confirm.is_some() {
            // Nothing was confirmed yet, so the start is still the one requested.
            shared.position.forget_cursor();
            return;
        }
        shared.position.go_live();
        drop(shared);
        self.report_loss(Loss::Dialect);
    }

    /// Reports, behind everything received so far, that events may be lost.
    pub(crate) fn report_loss(&self, loss: Loss) {
        let mut shared = self.shared.lock();
        shared.pending.push_notice(Notice::Lost(loss));
        unlock_and_wake(shared);
    }
}
