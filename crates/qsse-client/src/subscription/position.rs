//! How a subscription's cursor moves, and what of a stream comes after it.

use qsse_proto::{Event, EventId, Gap, stream};

use super::Subscription;
use crate::notice::Notice;

impl Subscription {
    /// Returns an event, unless it was handed out over an earlier connection.
    #[inline]
    pub(super) fn event(&mut self, event: Event) -> Option<Event> {
        self.advance(event.id()).then_some(event)
    }

    /// Moves the cursor to `id`. Returns false if it covered `id` already.
    #[inline]
    pub(super) fn advance(&mut self, id: EventId) -> bool {
        if self.unsure.is_some() && !self.continues_at(id) {
            return false;
        }
        if let Some(cursor) = &self.cursor {
            if cursor.covers(id) {
                return false;
            }
            if cursor.advance(id) {
                return true;
            }
        }
        self.cursor = Some(self.slot.set_cursor(id));
        true
    }

    /// Returns whether the stream continues the log of the cursor at `id`.
    ///
    /// While the stream was requested, an older stream was read further. That one may have had
    /// events that the server has since lost. The server knows the cursor if the stream has
    /// anything of the cursor's epoch from there on. Below the cursor, everything of its epoch and
    /// of the epoch that the stream was requested from was read already. Anything else may be new,
    /// so the stream is requested again, from the cursor.
    #[cold]
    fn continues_at(&mut self, id: EventId) -> bool {
        let cursor = self.cursor.as_ref().map(|cursor| cursor.id());
        let Some((cursor, requested_from)) = cursor.zip(self.unsure) else {
            return true;
        };
        let below = id.seq() < cursor.seq();
        if below && [cursor.epoch(), requested_from].contains(&id.epoch()) {
            return true;
        }
        self.unsure = None;
        let known = !below && id.epoch() == cursor.epoch();
        if !known {
            self.request_again();
        }
        known
    }

    /// Returns a gap without the part that was handed out over an earlier connection.
    pub(super) fn gap(&mut self, gap: stream::Gap) -> Option<Notice> {
        let epoch = self.epoch;
        let (mut after, to) = (EventId::new(epoch, gap.after), EventId::new(epoch, gap.to));
        if self.unsure.is_some() && !self.continues_at(to) {
            return None;
        }
        if let Some(cursor) = &self.cursor {
            if cursor.covers(to) {
                return None;
            }
            if cursor.covers(after) {
                after = cursor.id();
            }
        }
        let at_most = gap.at_most.min(gap.to.saturating_sub(after.seq()));
        Some(Notice::Gap(Gap::new(after, to, at_most, gap.reason)))
    }
}
