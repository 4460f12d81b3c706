//! The data of publishers that number their publishes.

use crate::event::Appended;
use crate::lineage::Lineage;

/// Identifies a publisher: a hash of its scope and name.
pub type PublisherId = [u8; 16];

/// Publishes of one publisher with consecutive numbers, whose events have consecutive seqs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublisherRun {
    /// The number of the first publish.
    pub number: u64,
    /// How many publishes. Each has one event, unless there is only one publish.
    pub count: u32,
    /// The seq of the first event.
    pub first: u64,
    /// How many events. A single publish to a pattern may have any number, including 0.
    pub events: u32,
}

/// What a storage knows of a publisher.
#[derive(Clone, Debug)]
pub struct PublisherState {
    /// The publisher.
    pub id: PublisherId,
    /// The number of its last publish.
    pub last: u64,
    /// Whether it is certain that no later publish was taken.
    pub certain: bool,
    /// Its newest runs, in order.
    pub runs: Vec<PublisherRun>,
}

impl PublisherRun {
    /// Creates the run of a single publish and its events.
    pub fn new(number: u64, events: Option<Appended>) -> Self {
        let (first, events) = events.map_or((0, 0), |Appended { first, last }| {
            let events = last.seq() + 1 - first.seq();
            (first.seq(), u32::try_from(events).unwrap_or(u32::MAX))
        });
        Self {
            number,
            count: 1,
            first,
            events,
        }
    }

    /// Returns the number of the last publish.
    pub fn last(&self) -> u64 {
        self.number + u64::from(self.count) - 1
    }

    /// Returns the seq after the last event.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.events)
    }

    /// Extends the run by `next` if that continues it, and returns whether it does.
    pub(crate) fn join(&mut self, next: Self) -> bool {
        let singles = self.count == self.events && next.count == next.events;
        let count = self.count.checked_add(next.count);
        match count {
            Some(count)
                if singles && next.number == self.last() + 1 && next.first == self.end() =>
            {
                (self.count, self.events) = (count, count);
                true
            }
            _ => false,
        }
    }

    /// Splits the run into the publishes whose events end at or before `seq`, and the rest.
    pub(crate) fn split_behind(self, seq: u64) -> (Option<Self>, Option<Self>) {
        if self.end() <= seq + 1 {
            return (Some(self), None);
        }
        let here = (seq + 1).saturating_sub(self.first);
        if here == 0 || self.count == 1 {
            return (None, Some(self));
        }
        // Less than `count`, so it fits into 32 bits.
        let here = here as u32;
        let (mut part, mut rest) = (self, self);
        (part.count, part.events) = (here, here);
        (rest.number, rest.first) = (self.number + u64::from(here), seq + 1);
        (rest.count, rest.events) = (self.count - here, self.count - here);
        (Some(part), Some(rest))
    }

    /// Returns the run without the publishes after number `last`; `None` if none remains.
    pub(crate) fn through(mut self, last: u64) -> Option<Self> {
        let left = (last + 1)
            .checked_sub(self.number)
            .filter(|left| *left > 0)?;
        if left < u64::from(self.count) {
            (self.count, self.events) = (left as u32, left as u32);
        }
        Some(self)
    }

    /// Returns the events of one publish of the run; `None` if it has none.
    pub(crate) fn events_of(&self, number: u64, lineage: &Lineage) -> Option<Appended> {
        let (first, events) = match self.count {
            1 => (self.first, u64::from(self.events)),
            _ => (self.first + (number - self.number), 1),
        };
        Some(Appended {
            first: lineage.id(first),
            last: lineage.id((first + events).checked_sub(1)?),
        })
        .filter(|_| events > 0)
    }
}
