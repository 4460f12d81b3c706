//! [`Published`] and [`PublishProgress`]: what became of publishes.

use qsse_proto::{Epoch, EventId};

/// The result of a publish to a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    bounds: Option<(EventId, EventId)>,
    count: u64,
}

impl Published {
    /// `count` events from `first` on.
    pub(super) fn range(epoch: Epoch, first: u64, count: u64) -> Self {
        let id = |seq| EventId::new(epoch, seq);
        let bounds = count
            .checked_sub(1)
            .map(|more| (id(first), id(first.saturating_add(more))));
        Self { bounds, count }
    }

    /// Returns how many events were published: one for each topic that the pattern matched, 0 if it
    /// matched none.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the id of the first event.
    pub fn first(&self) -> Option<EventId> {
        self.bounds.map(|(first, _)| first)
    }

    /// Returns the id of the last event.
    pub fn last(&self) -> Option<EventId> {
        self.bounds.map(|(_, last)| last)
    }
}

/// What became of the events that a [`Publisher`](crate::Publisher) sent.
///
/// Events that are neither acknowledged, refused nor lost are in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishProgress {
    /// Events passed to `send`.
    pub sent: u64,
    /// Events that the server has acknowledged. A publish to a pattern counts as one.
    pub acknowledged: u64,
    /// Events that the server has refused, including those sent after a refused one.
    pub refused: u64,
    /// Events that were in flight when a connection was lost. They may have been published or not.
    pub lost: u64,
    /// The first event published.
    pub first: Option<EventId>,
    /// The last event published.
    pub last: Option<EventId>,
}

impl PublishProgress {
    /// Counts an acknowledged publish.
    pub(super) fn add(&mut self, published: &Published) {
        self.acknowledged += 1;
        self.first = self.first.or(published.first());
        self.last = published.last().or(self.last);
    }

    /// Adds up this progress and that of later events.
    pub(super) fn and(self, later: Self) -> Self {
        Self {
            sent: self.sent + later.sent,
            acknowledged: self.acknowledged + later.acknowledged,
            refused: self.refused + later.refused,
            lost: self.lost + later.lost,
            first: self.first.or(later.first),
            last: later.last.or(self.last),
        }
    }
}
