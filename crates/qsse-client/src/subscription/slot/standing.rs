//! [`Standing`]: where a subscription stands.

use std::sync::Arc;

use qsse_proto::EventId;
use qsse_proto::control::Start;

use crate::subscription::mark::Mark;

/// Where a subscription was to begin, began, and stands.
pub(super) struct Standing {
    /// Where to begin, as long as there is no mark.
    asked: Start,
    /// The last event handed out, or a position that is as good: everything up to it has been or does not match.
    mark: Option<Arc<Mark>>,
    /// Resets that moved the mark to another log.
    resets: u64,
    /// Where the server let it begin.
    started: Option<EventId>,
}

impl Standing {
    pub(super) fn new(asked: Start) -> Self {
        let mark = match asked {
            Start::After(id) => Some(Mark::new(id)),
            _ => None,
        };
        Self {
            asked,
            mark,
            resets: 0,
            started: None,
        }
    }

    /// Where it was asked to begin.
    pub(super) fn asked(&self) -> Start {
        self.asked
    }

    /// Where the next connection is to begin.
    pub(super) fn start(&self) -> Start {
        let mark = self.mark.as_ref();
        mark.map_or(self.asked, |mark| Start::After(mark.id()))
    }

    /// The server let it begin after `position`.
    pub(super) fn begin(&mut self, position: EventId) {
        self.started.get_or_insert(position);
        // It stands at once, whatever the start was: asked for again, a start could leave out what was published or dropped meanwhile.
        self.mark.get_or_insert_with(|| Mark::new(position));
    }

    pub(super) fn mark(&self) -> Option<Arc<Mark>> {
        self.mark.clone()
    }

    pub(super) fn resets(&self) -> u64 {
        self.resets
    }

    /// Moves it to where another log begins, wherever it stood.
    pub(super) fn reset(&mut self, position: EventId) -> Arc<Mark> {
        self.resets += 1;
        self.set_mark(position)
    }

    /// Puts it behind this event.
    pub(super) fn set_mark(&mut self, id: EventId) -> Arc<Mark> {
        self.mark.insert(Mark::new(id)).clone()
    }

    /// Lets it begin as it was asked to.
    pub(super) fn forget(&mut self) {
        self.mark = None;
    }

    /// Lets it begin with what is published next, wherever it stood.
    pub(super) fn go_live(&mut self) {
        self.started = self.mark.take().map(|mark| mark.id());
        self.asked = Start::Live;
    }

    /// Where it stands, or began.
    pub(super) fn position(&self) -> Option<EventId> {
        let mark = self.mark.as_ref().map(|mark| mark.id());
        mark.or(self.started)
    }
}
