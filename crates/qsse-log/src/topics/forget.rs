//! How many topics the table has, and which it forgets.

use std::collections::HashSet;

use super::{Owner, TopicId, TopicState, Topics};
use crate::error::AppendError;
use crate::event::NewEvent;

/// This many topics without events stay known, so that a busy topic keeps its routes even if
/// nothing is retained.
pub(super) const IDLE_TOPICS: usize = 65_536;

/// The bytes of the table that do not count against the history: a small history must not be lost
/// to the names of its topics. Above that, topics without events are forgotten first.
const FREE_BYTES: usize = 16 << 20;

/// The most slots that adding one topic looks at for topics to forget. While there are too many, it
/// forgets faster than topics can be added, in steps of microseconds.
const LOOKED_AT: u32 = 64;

/// The same before a new topic is refused.
const LOOKED_AT_WHEN_FULL: u32 = 1_024;

/// The bytes of a topic in the indexes by name and in order, which are between half full and full.
const INDEXED_BYTES: usize = 104;

/// Longer names are allocated, with a header.
const INLINE_NAME: usize = 24;
const NAME_HEADER: usize = 48;

impl TopicState {
    /// Returns the bytes that the topic takes in the table, apart from its seqs and routes.
    pub(super) fn table_bytes(&self) -> usize {
        let name = match self.topic.as_str().len() {
            ..=INLINE_NAME => 0,
            long => long + NAME_HEADER,
        };
        size_of::<Option<Self>>() + INDEXED_BYTES + name
    }
}

impl Topics {
    /// Returns the bytes that count against the history: the lists of seqs, and the table beyond
    /// its first part.
    pub(crate) fn index_bytes(&self) -> usize {
        self.index_bytes + self.table_bytes.saturating_sub(FREE_BYTES)
    }

    /// Returns all bytes: the lists of seqs and the table.
    pub(crate) fn all_bytes(&self) -> usize {
        self.index_bytes + self.table_bytes()
    }

    /// Returns the bytes of the table: names, indexes and routes.
    pub(crate) fn table_bytes(&self) -> usize {
        self.table_bytes + self.routes_bytes
    }

    /// Checks whether the new topics of these events may be added: at most `most` in total, and for
    /// an owner at most that many. From now on new topics are counted for the owner.
    ///
    /// # Errors
    /// [`AppendError::TooManyTopics`].
    pub(crate) fn admit(
        &mut self,
        events: &[NewEvent<'_>],
        owner: Option<(Owner, usize)>,
        most: usize,
    ) -> Result<(), AppendError> {
        let (owner, most_own) = owner.unzip();
        let most_own = most_own.unwrap_or(usize::MAX);
        self.owner = owner;
        // Nothing is looked up as long as there is room even if all topics were of this owner, and
        // all of these were new.
        if self.entries.len().saturating_add(events.len()) <= most.min(most_own) {
            return Ok(());
        }
        let own = |topics: &Self| owner.map_or(0, |owner| topics.owners.count(owner));
        let fits = |topics: &Self, new: usize| {
            let len = topics.entries.len();
            len.saturating_add(new) <= most && own(topics).saturating_add(new) <= most_own
        };
        if fits(self, events.len()) {
            return Ok(());
        }
        let unknown = events
            .iter()
            .filter(|event| self.find(event.topic).is_none());
        let new = unknown.map(|event| event.topic.as_str());
        let new = new.collect::<HashSet<_>>().len();
        if new == 0 || fits(self, new) {
            return Ok(());
        }
        self.forget(LOOKED_AT_WHEN_FULL);
        if fits(self, new) {
            return Ok(());
        }
        let all = self.entries.len().saturating_add(new) > most;
        Err(AppendError::TooManyTopics {
            limit: if all { most } else { most_own },
            own: !all,
        })
    }

    /// Forgets topics without events before another one is added, if there are too many.
    pub(super) fn make_room(&mut self) {
        if self.has_too_many() {
            self.forget(LOOKED_AT);
        }
    }

    /// Looks at the next `count` slots, and forgets the topics that have no events if there are too
    /// many of them. Returns whether it has reached the last slot.
    pub(crate) fn tend(&mut self, from: u32, count: u32, generation: u64) -> bool {
        let stale =
            |entry: &TopicState| entry.generation != generation && entry.routes.capacity() > 0;
        let within = self.entries.within(from, count);
        let stale: Vec<_> = within.filter(|(_, entry)| stale(entry)).collect();
        let ids: Vec<_> = stale.into_iter().map(|(id, _)| TopicId(id)).collect();
        for id in ids {
            let (others, entry) = self.entry_and_bytes(id);
            entry.routes = Vec::new();
            self.routes_bytes = others;
        }
        if self.has_too_many() {
            self.forget(count);
        }
        from.saturating_add(count) >= self.entries.end()
    }

    /// Returns those of the next `count` topics that have a rule and an event.
    pub(crate) fn ruled(&self, from: u32, count: u32) -> Vec<TopicId> {
        let ruled = |entry: &TopicState| entry.rule.is_some() && !entry.seqs.is_empty();
        let within = self.entries.within(from, count);
        let ruled = within.filter(|(_, entry)| ruled(entry));
        ruled.map(|(id, _)| TopicId(id)).collect()
    }

    fn has_too_many(&self) -> bool {
        self.idle >= IDLE_TOPICS || (self.table_bytes > FREE_BYTES && self.idle > 0)
    }

    /// Looks at `count` slots from where the last call ended, and forgets the topics there that
    /// have no events.
    fn forget(&mut self, count: u32) {
        self.latest = None;
        let end = self.entries.end();
        if self.idle == 0 {
            return;
        }
        if self.hand >= end {
            self.hand = 0;
        }
        // A topic stays while its events have not been counted, or are still in the history.
        let is_idle = |entry: &TopicState| {
            let unused = entry.seqs.is_empty() && entry.newest <= self.history_floor;
            unused && !entry.pinned && entry.published == 0
        };
        let (hand, count) = (self.hand, count.min(end));
        let again = (hand + count).saturating_sub(end);
        let within = self.entries.within(hand, count);
        let within = within.chain(self.entries.within(0, again));
        let idle = within.filter(|(_, entry)| is_idle(entry));
        let idle: Vec<u32> = idle.map(|(id, _)| id).collect();
        self.hand = if again > 0 { again } else { hand + count };
        for id in idle {
            let Some(entry) = self.entries.remove(id) else {
                continue;
            };
            // Its removed events now count for every topic: a gap too many, but never one too few.
            self.forgotten_floor = self.forgotten_floor.max(entry.floor);
            self.by_name.remove(entry.topic.as_str(), id);
            self.in_order.remove(&entry.topic);
            self.table_bytes -= entry.table_bytes();
            self.routes_bytes -= entry.routes_bytes();
            if let Some(owner) = entry.owner {
                self.owners.remove(owner);
            }
            self.idle -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use qsse_topic::TopicRef;

    use super::*;

    fn event(name: &str) -> NewEvent<'_> {
        NewEvent::new(TopicRef::new(name).unwrap(), b"")
    }

    fn publish(topics: &mut Topics, name: &str, seq: u64) {
        let id = topics.resolve(TopicRef::new(name).unwrap());
        topics.add_event(id, seq, 1);
    }

    #[test]
    fn new_topics_are_refused_at_the_limit_and_known_ones_are_not() {
        let [one, other] = [1, 2].map(|byte| Some((Owner::new([byte; 16]), 2)));
        let mut topics = Topics::default();
        let mut add = |owner, names: &[&str]| {
            let events: Vec<_> = names.iter().map(|name| event(name)).collect();
            topics
                .admit(&events, owner, 3)
                .map_err(|error| match error {
                    AppendError::TooManyTopics { limit, own } => (limit, own),
                    other => panic!("{other}"),
                })?;
            for name in names {
                publish(&mut topics, name, 1);
            }
            Ok(())
        };
        assert_eq!(add(one, &["a", "b", "a", "b"]), Ok(()), "two topics");
        assert_eq!(add(one, &["c"]), Err((2, true)));
        assert_eq!(add(one, &["b", "a"]), Ok(()));
        assert_eq!(add(other, &["c", "d"]), Err((3, false)));
        assert_eq!(add(other, &["c", "a", "c"]), Ok(()));
        assert_eq!(add(other, &["d"]), Err((3, false)));
        assert_eq!(add(None, &["d"]), Err((3, false)));
        assert_eq!(add(None, &["a"]), Ok(()));
    }

    #[test]
    fn a_topic_without_events_makes_room_for_another() {
        let of = Owner::new([1; 16]);
        let owner = Some((of, 2));
        let mut topics = Topics::default();
        for name in ["a", "b"] {
            topics.admit(&[event(name)], owner, 2).unwrap();
            publish(&mut topics, name, 1);
        }
        assert!(topics.admit(&[event("c")], owner, 2).is_err());
        let a = topics.find(TopicRef::new("a").unwrap()).unwrap();
        topics.release(a, 1, 1, 1);
        assert!(
            topics.admit(&[event("c")], owner, 2).is_err(),
            "still in the history"
        );
        topics.set_history_floor(1);
        topics.admit(&[event("c")], owner, 2).unwrap();
        publish(&mut topics, "c", 2);
        assert_eq!(topics.owners.count(of), 2);
        assert!(topics.find(TopicRef::new("a").unwrap()).is_none());
    }

    #[test]
    fn many_topics_without_events_are_forgotten_first() {
        let mut topics = Topics::default();
        let long = "x".repeat(200);
        for n in 0..100_000 {
            topics.resolve(TopicRef::new(&format!("{n}.{long}")).unwrap());
            assert!(topics.table_bytes < FREE_BYTES + 100_000);
        }
        assert_eq!(topics.index_bytes(), 0);
        let chunks = topics.entries.chunks();
        assert!(chunks * 256 <= topics.entries.len() + 512, "{chunks}");
    }

    #[test]
    fn a_topic_costs_what_is_counted() {
        for length in [10, 20, 30, 240] {
            let mut topics = Topics::default();
            let names: Vec<_> = (0..20_000)
                .map(|n| format!("{n:05}.{}", "x".repeat(length - 6)))
                .collect();
            let all = allocation_counter::measure(|| {
                for name in &names {
                    topics.resolve(TopicRef::new(name).unwrap());
                }
            });
            let (held, counted) = (all.bytes_current as f64, topics.table_bytes as f64);
            let ratio = held / counted;
            assert!(
                (0.75..1.1).contains(&ratio),
                "{held} held, {counted} counted: {ratio}"
            );
        }
    }

    #[test]
    fn routes_that_are_too_many_are_not_cached() {
        let mut topics = Topics::default();
        let mut feeds = qsse_topic::Matcher::new();
        let many = (0..100_000_u32).collect::<Vec<_>>();
        feeds.insert("*".parse::<qsse_topic::Pattern>().unwrap(), many);
        for n in 0..100 {
            let id = topics.resolve(TopicRef::new(&format!("t.{n}")).unwrap());
            for _ in 0..2 {
                assert_eq!(topics.routes(id, &feeds, 1).len(), 100_000);
            }
            assert!(topics.routes_bytes <= super::super::ROUTES_BYTES);
        }
        assert!(topics.routes_bytes > super::super::ROUTES_BYTES / 2);
        assert!(topics.tend(0, 1_000, 2), "there are no more");
        assert_eq!(topics.routes_bytes, 0, "they are of an earlier generation");
    }
}
