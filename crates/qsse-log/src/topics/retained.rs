//! Which events of each topic are retained.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;
use std::ops::ControlFlow;

use qsse_topic::{Filter, TopicRef};

use super::scan::Scan;
use super::{LOOK, TopicId, Topics};

impl Topics {
    /// Adds an event of this length.
    pub(crate) fn add_event(&mut self, id: TopicId, seq: u64, bytes: usize) {
        let entry = self.entry_mut(id);
        let before = entry.seqs.capacity();
        entry.seqs.push_back(seq);
        entry.newest = seq;
        entry.bytes += bytes;
        let grown = (entry.seqs.capacity() - before) * size_of::<u64>();
        if entry.seqs.len() == 1 && !entry.pinned {
            self.idle -= 1;
        }
        self.index_bytes += grown;
    }

    /// Removes the topic's oldest `count` events, which begin with seq `first`. More than one may
    /// be removed at once only if the topic has no rule.
    pub(crate) fn release(&mut self, id: TopicId, first: u64, count: usize, bytes: usize) {
        let seqs = self.seqs(id);
        if seqs.front() == Some(&first) {
            return self.drop_oldest(id, count, bytes);
        }
        // A rule or the storage has already removed some of them, or all.
        let last = first + count as u64 - 1;
        let rest = seqs.partition_point(|seq| *seq <= last);
        self.drop_oldest(id, rest, bytes);
    }

    /// Removes the topic's events up to a seq, as the storage has.
    pub(crate) fn remove_through(&mut self, topic: TopicRef<'_>, floor: u64) {
        if let Some(id) = self.find(topic) {
            let gone = self.seqs(id).partition_point(|seq| *seq <= floor);
            self.drop_oldest(id, gone, 0);
        }
    }

    /// Drops the topic's `count` oldest events. `bytes` matters only for topics with a rule.
    fn drop_oldest(&mut self, id: TopicId, count: usize, bytes: usize) {
        let entry = self.entry_mut(id);
        let Some(seq) = entry.seqs.drain(..count).next_back() else {
            return;
        };
        entry.floor = seq;
        entry.bytes = entry.bytes.saturating_sub(bytes);
        let before = entry.seqs.capacity();
        if entry.seqs.is_empty() {
            entry.seqs = VecDeque::new();
            entry.bytes = 0;
        } else if entry.seqs.len() < before / 4 {
            entry.seqs.shrink_to(before / 2);
        }
        let shrunk = (before - entry.seqs.capacity()) * size_of::<u64>();
        let rule = entry.rule.map_or(0, |rule| rule as usize + 1);
        if entry.seqs.is_empty() && !entry.pinned {
            self.idle += 1;
        }
        self.index_bytes -= shrunk;
        self.floors[rule] = self.floors[rule].max(seq);
        self.max_floor = self.max_floor.max(seq);
    }

    /// Returns whether this event of the topic is retained, if the history still has it.
    pub(crate) fn is_retained(&self, id: TopicId, seq: u64) -> bool {
        seq > self.entry(id).floor
    }

    /// Returns the seqs of the topic's events, oldest first.
    pub(crate) fn seqs(&self, id: TopicId) -> &VecDeque<u64> {
        &self.entry(id).seqs
    }

    /// Returns the bytes of the topic's events.
    pub(crate) fn bytes(&self, id: TopicId) -> usize {
        self.entry(id).bytes
    }

    /// Returns the seqs of the topic's events in (after, upto], oldest first.
    pub(crate) fn seqs_within(&self, id: TopicId, after: u64, upto: u64) -> Iter<'_, u64> {
        let seqs = self.seqs(id);
        let end = seqs.partition_point(|seq| *seq <= upto);
        let start = seqs.partition_point(|seq| *seq <= after);
        seqs.range(start.min(end)..end)
    }

    /// Returns how many of a topic's last `n` events up to `upto` are retained, and the first of
    /// them; `None` if there is none.
    pub(crate) fn last(&self, id: TopicId, n: usize, upto: u64) -> Option<(usize, u64)> {
        let mut seqs = last_of(self.seqs_within(id, 0, upto), n);
        let count = seqs.len();
        Some((count, *seqs.next()?))
    }

    /// Adds the seqs of a topic's last `n` events in (after, upto] to `seqs`.
    pub(crate) fn last_seqs(
        &self,
        id: TopicId,
        n: usize,
        (after, upto): (u64, u64),
        seqs: &mut Vec<u64>,
    ) {
        seqs.extend(last_of(self.seqs_within(id, after, upto), n));
    }

    /// Returns the known topics that match `filter`; `None` if there are more than `most`, or if
    /// too many would have to be looked at.
    pub(crate) fn admitted(&self, filter: &Filter, most: usize) -> Option<Vec<TopicId>> {
        let mut ids = Vec::new();
        let complete = self.look(filter, |id| {
            ids.push(id);
            match ids.len() > most {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        if !complete || ids.len() > most {
            return None;
        }
        // Patterns of a filter may overlap.
        ids.sort_unstable();
        ids.dedup();
        Some(ids)
    }

    /// Calls `found` with the topics that match `filter` until it breaks. Returns false if it did,
    /// or if too many topics would have to be looked at.
    fn look(&self, filter: &Filter, mut found: impl FnMut(TopicId) -> ControlFlow<()>) -> bool {
        let mut scan = Scan::default();
        let mut goes_on = true;
        let complete = scan.part(self, filter, LOOK, |id| {
            let next = found(id);
            goes_on = next.is_continue();
            next
        });
        complete && goes_on
    }

    /// Returns whether everything after `seq` is retained.
    pub(crate) fn retains_after(&self, seq: u64) -> bool {
        self.max_floor <= seq && self.forgotten_floor <= seq
    }

    /// Returns the newest removed event that matches `filter`, or `above` if none above that has
    /// been removed.
    ///
    /// If too many topics would have to be looked at, it is the newest removed event of any topic
    /// under the same rules: a gap too many, but never one too few.
    pub(crate) fn floor(&self, filter: &Filter, above: u64) -> u64 {
        let least = self.forgotten_floor.max(above);
        if self.max_floor <= least {
            return least;
        }
        let of_rules = (self.ruled.iter().zip(&self.floors[1..]))
            .filter(|(pattern, floor)| **floor > least && filter.intersects(*pattern))
            .map(|(_, floor)| *floor);
        let most = of_rules.max().unwrap_or_default().max(self.floors[0]);
        if most <= least {
            return least;
        }
        let everything = filter
            .patterns()
            .iter()
            .any(|pattern| pattern.as_str() == "*");
        if everything {
            return most;
        }
        let mut lost = 0;
        let complete = self.look(filter, |id| {
            lost = lost.max(self.entry(id).floor);
            ControlFlow::Continue(())
        });
        if complete { lost.max(least) } else { most }
    }

    /// Sets the seq up to which the history has no events.
    pub(crate) fn set_history_floor(&mut self, floor: u64) {
        self.history_floor = floor;
    }
}

/// Returns the last `n` seqs.
fn last_of(seqs: Iter<'_, u64>, n: usize) -> std::iter::Skip<Iter<'_, u64>> {
    let surplus = seqs.len().saturating_sub(n);
    seqs.skip(surplus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TopicRetention;

    fn topics_with(kept: &[(u64, usize)]) -> (Topics, TopicId) {
        let mut topics = Topics::default();
        let id = topics.resolve(TopicRef::new("a").unwrap());
        for (seq, bytes) in kept {
            topics.add_event(id, *seq, *bytes);
        }
        (topics, id)
    }

    #[test]
    fn bytes_are_those_of_the_retained_events() {
        let (mut topics, id) = topics_with(&[(1, 10), (2, 20), (5, 40)]);
        assert_eq!(topics.bytes(id), 70);
        topics.release(id, 1, 1, 10);
        assert_eq!(topics.bytes(id), 60);
        topics.release(id, 2, 2, 60);
        assert_eq!((topics.bytes(id), topics.seqs(id).len()), (0, 0));
        // Events that a storage removes are not counted, but nothing has no bytes.
        let (mut topics, id) = topics_with(&[(1, 10), (2, 20)]);
        topics.remove_through(TopicRef::new("a").unwrap(), 2);
        assert_eq!(topics.bytes(id), 0);
    }

    #[test]
    fn what_is_gone_already_is_not_released_for_others() {
        let (mut topics, id) = topics_with(&[(10, 1), (11, 1), (12, 1), (13, 1), (20, 1)]);
        topics.release(id, 10, 1, 1);
        topics.release(id, 10, 3, 3);
        assert_eq!(topics.seqs(id), &[13, 20]);
        assert!(!topics.is_retained(id, 12) && topics.is_retained(id, 13));
        topics.release(id, 10, 3, 3);
        assert_eq!(topics.seqs(id), &[13, 20]);
    }

    #[test]
    fn memory_of_the_lists_is_counted_and_given_back() {
        let (mut topics, id) = topics_with(&[]);
        let counted = |topics: &Topics| topics.index_bytes() / size_of::<u64>();
        for seq in 1..=1_000 {
            topics.add_event(id, seq, 1);
            assert_eq!(counted(&topics), topics.seqs(id).capacity());
        }
        let most = counted(&topics);
        topics.release(id, 1, 700, 700);
        assert_eq!(counted(&topics), most, "it may be needed again");
        topics.release(id, 701, 200, 200);
        assert_eq!(counted(&topics), topics.seqs(id).capacity());
        assert_eq!(counted(&topics), most / 2);
        topics.release(id, 901, 100, 100);
        assert_eq!(topics.index_bytes(), 0);
        assert_eq!(topics.len(), 0);
    }

    #[test]
    fn the_last_events_of_a_topic_are_those_in_a_range() {
        let (topics, id) = topics_with(&[(1, 1), (3, 1), (5, 1)]);
        let last_seqs = |n, range| {
            let mut seqs = Vec::new();
            topics.last_seqs(id, n, range, &mut seqs);
            seqs
        };
        assert_eq!(last_seqs(2, (0, 9)), [3, 5]);
        assert_eq!(last_seqs(2, (1, 4)), [3]);
        assert!(last_seqs(2, (5, 4)).is_empty());
        assert_eq!(topics.last(id, 2, 9), Some((2, 3)));
        assert_eq!(topics.last(id, 2, 2), Some((1, 1)));
        assert_eq!(topics.last(id, 2, 0), None);
    }

    #[test]
    fn where_too_many_topics_match_the_floor_is_that_of_their_rules() {
        let rule = TopicRetention::of("p.*".parse().unwrap());
        let mut topics = Topics::new(&[rule]);
        let mut add = |name: &str, seq| {
            let id = topics.resolve(TopicRef::new(name).unwrap());
            topics.add_event(id, seq, 1);
            id
        };
        let position = add("p.1", 10);
        let early = add("a.1.x", 1);
        for n in 0..LOOK as u64 {
            add(&format!("r.{n}.s"), 20 + n);
        }
        topics.release(position, 10, 1, 1);
        topics.release(early, 1, 1, 1);
        let floor = |filter: &str, above| topics.floor(&filter.parse().unwrap(), above);
        assert_eq!(floor("r.7.s", 0), 0, "one topic is looked at");
        assert_eq!(floor("r.*.s", 0), 1, "what topics without a rule have lost");
        assert_eq!(floor("r.*.s", 1), 1);
        assert_eq!(floor("*.*.s", 0), 10, "it may match topics of the rule");
        assert_eq!(floor("*.*.s", 10), 10);
    }

    #[test]
    fn a_loss_is_of_a_topic_or_of_one_that_is_forgotten() {
        let (mut topics, id) = topics_with(&[(3, 1), (5, 1)]);
        topics.release(id, 3, 1, 1);
        let lost =
            |topics: &Topics, filter: &str, above| topics.floor(&filter.parse().unwrap(), above);
        let all = [("a", 0), ("*", 0), ("b", 0), ("a", 3), ("a", 2), ("b", 2)];
        let all = all.map(|(filter, above)| lost(&topics, filter, above));
        assert_eq!(all, [3, 3, 0, 3, 3, 2]);
        assert!(topics.retains_after(3) && !topics.retains_after(2));
        topics.forgotten_floor = 4;
        let all = [("a", 0), ("*", 0), ("b", 0), ("b", 5)];
        let all = all.map(|(filter, above)| lost(&topics, filter, above));
        assert_eq!(all, [4, 4, 4, 5]);
        assert!(topics.retains_after(4) && !topics.retains_after(3));
    }
}
