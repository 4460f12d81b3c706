//! Where a subscription stands, and what of a stream comes behind that.

use qsse_proto::{Event, EventId, Gap, stream};

use super::Subscription;
use crate::notice::Notice;

impl Subscription {
    /// An event, unless it was handed out before the connection was lost.
    #[inline]
    pub(super) fn event(&mut self, event: Event) -> Option<Event> {
        self.advance(event.id()).then_some(event)
    }

    /// Moves the position forward; false if it was there already.
    #[inline]
    pub(super) fn advance(&mut self, id: EventId) -> bool {
        if self.unsure.is_some() && !self.goes_on_to(id) {
            return false;
        }
        if let Some(mark) = &self.mark {
            if mark.covers(id) {
                return false;
            }
            if mark.advance(id) {
                return true;
            }
        }
        self.mark = Some(self.slot.set_mark(id));
        true
    }

    /// Whether the stream says nothing that could be of another log than the mark. While it was asked for, an older stream was read on: what that
    /// had may be of a future that the server has lost. The server knows the mark if it has anything of the mark's epoch from there on. Below
    /// that, what is of the epochs of both ends was read; anything else may be new, and the server is asked again, from the mark.
    #[cold]
    fn goes_on_to(&mut self, id: EventId) -> bool {
        let mark = self.mark.as_ref().map(|mark| mark.id());
        let Some((mark, asked_from)) = mark.zip(self.unsure) else {
            return true;
        };
        let below = id.seq() < mark.seq();
        if below && [mark.epoch(), asked_from].contains(&id.epoch()) {
            return true;
        }
        self.unsure = None;
        let known = !below && id.epoch() == mark.epoch();
        if !known {
            self.ask_again();
        }
        known
    }

    /// A gap, less what was handed out before the connection was lost.
    pub(super) fn gap(&mut self, gap: stream::Gap) -> Option<Notice> {
        let epoch = self.epoch;
        let (mut after, to) = (EventId::new(epoch, gap.after), EventId::new(epoch, gap.to));
        if self.unsure.is_some() && !self.goes_on_to(to) {
            return None;
        }
        if let Some(mark) = &self.mark {
            if mark.covers(to) {
                return None;
            }
            if mark.covers(after) {
                after = mark.id();
            }
        }
        let at_most = gap.at_most.min(gap.to.saturating_sub(after.seq()));
        Some(Notice::Gap(Gap::new(after, to, at_most, gap.reason)))
    }
}
