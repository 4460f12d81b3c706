//! What a [`Slot`] does beside, where the server speaks the Go library's dialect.

use qsse_proto::control::{OnLag, Start};
use qsse_proto::stream::Outcome;
use qsse_proto::{Code, Epoch, EventId};

use super::{End, Slot};
use crate::error::{SubscribeError, SubscriptionError};
use crate::notice::{Loss, Notice};

/// The epoch of the numbers that events get on this side. No log has it.
pub(crate) const GO_EPOCH: Epoch = Epoch::new(0);

/// Before the first event.
const START: EventId = EventId::new(GO_EPOCH, 0);

impl Slot {
    /// The patterns as they were given, which is what a Go server compares by the letter.
    pub(crate) fn offered(&self) -> &[String] {
        &self.offered
    }

    /// Goes over to the Go dialect. True if the server spoke another one before, so that events may be lost.
    ///
    /// # Errors
    /// What was asked for and is not to be had; the subscription has ended then.
    pub(crate) fn enter_go(&self) -> Result<bool, &'static str> {
        let mut shared = self.shared.lock();
        let asked_now = shared.confirm.is_some();
        let lacks = if self.on_lag != OnLag::default() {
            Some("on_lag")
        } else if asked_now && shared.standing.asked() != Start::Live {
            // One that was made before has had its start.
            Some("a start other than live")
        } else {
            None
        };
        let Some(what) = lacks else {
            let before = shared.standing.mark();
            shared.standing.set_mark(START);
            return Ok(!asked_now && before.is_none_or(|mark| mark.id().epoch() != GO_EPOCH));
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

    /// The offer is written: as much as there is to wait for.
    pub(crate) fn confirm_offer(&self) {
        self.confirm(START);
        let mut shared = self.shared.lock();
        shared.outcome.get_or_insert(Outcome::Live);
        let waker = shared.waker.take();
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Goes over to `qsse/1`, where it begins with what is published then.
    pub(crate) fn leave_go(&self) {
        let mut shared = self.shared.lock();
        if shared.confirm.is_some() {
            // Nothing was promised yet: it is asked for as it was.
            shared.standing.forget();
            return;
        }
        shared.standing.go_live();
        drop(shared);
        self.tell_lost(Loss::Dialect);
    }

    /// Says behind what has come that events may be lost.
    pub(crate) fn tell_lost(&self, loss: Loss) {
        let mut shared = self.shared.lock();
        shared.coming.say(Notice::Lost(loss));
        let waker = shared.waker.take();
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
