//! [`Published`]: the events that one publish made.

use crate::event_id::EventId;

/// The events that a publish to a pattern, or of several events, made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    first: Option<EventId>,
    count: u64,
}

impl Published {
    /// `count` events that follow one another, the first with this id. None at all is the default.
    pub fn new(first: EventId, count: u64) -> Self {
        let first = (count > 0).then_some(first);
        Self { first, count }
    }

    /// Returns how many events were published: 0 if a pattern matched no topic.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the id of the first event.
    pub fn first(&self) -> Option<EventId> {
        self.first
    }

    /// Returns the id of the last event.
    pub fn last(&self) -> Option<EventId> {
        let first = self.first?;
        let last = first.seq().saturating_add(self.count - 1);
        Some(EventId::new(first.epoch(), last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_id::Epoch;

    #[test]
    fn it_has_a_first_and_a_last_event_unless_it_is_empty() {
        let id = |seq| EventId::new(Epoch::new(7), seq);
        let published = Published::new(id(3), 4);
        assert_eq!(
            (published.first(), published.last(), published.count()),
            (Some(id(3)), Some(id(6)), 4)
        );
        assert_eq!(Published::new(id(3), 0), Published::default());
        assert_eq!(Published::default().last(), None);
        assert_eq!(Published::new(id(3), u64::MAX).last(), Some(id(u64::MAX)));
    }
}
