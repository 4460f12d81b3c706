//! [`PublishProgress`]: what became of the events of a publisher.

use qsse_proto::{EventId, Published};

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
