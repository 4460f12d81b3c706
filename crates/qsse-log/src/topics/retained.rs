//! Which events of each topic are retained.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;

use qsse_topic::{Filter, Topic, TopicRef};

use super::{TopicId, Topics};

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
        if let Some(&id) = self.by_name.get(topic) {
            let id = TopicId(id);
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
        if entry.seqs.is_empty() && !entry.pinned {
            self.idle += 1;
        }
        self.index_bytes -= shrunk;
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

    /// Returns for each topic that matches `filter` how many of its last `n` events up to `upto`
    /// are retained, and the first of them.
    pub(crate) fn last(&self, filter: &Filter, n: usize, upto: u64) -> Vec<(Topic, usize, u64)> {
        let ids = self.admitted(filter, usize::MAX).unwrap_or_default();
        let last = ids.into_iter().filter_map(|id| {
            let mut seqs = last_of(self.seqs_within(id, 0, upto), n);
            let count = seqs.len();
            Some((self.name(id).clone(), count, *seqs.next()?))
        });
        last.collect()
    }

    /// Returns the seqs of the last `n` events in (after, upto] of each topic that matches
    /// `filter`, in order.
    ///
    /// Returns `None` if there are more than `most`.
    pub(crate) fn last_seqs(
        &self,
        filter: &Filter,
        n: usize,
        (after, upto): (u64, u64),
        most: usize,
    ) -> Option<VecDeque<u64>> {
        let mut seqs = Vec::new();
        for id in self.admitted(filter, most)? {
            seqs.extend(last_of(self.seqs_within(id, after, upto), n));
            if seqs.len() > most {
                return None;
            }
        }
        seqs.sort_unstable();
        Some(seqs.into())
    }

    /// Returns whether everything after `seq` is retained.
    pub(crate) fn retains_after(&self, seq: u64) -> bool {
        self.max_floor <= seq && self.forgotten_floor <= seq
    }

    /// Returns the newest removed event that matches `filter`, or `above` if none above that has
    /// been removed.
    pub(crate) fn floor(&self, filter: &Filter, above: u64) -> u64 {
        if self.max_floor.max(self.forgotten_floor) <= above {
            return above;
        }
        let everything = filter
            .patterns()
            .iter()
            .any(|pattern| pattern.as_str() == "*");
        if everything {
            return self.max_floor.max(self.forgotten_floor);
        }
        let matching = filter
            .patterns()
            .iter()
            .flat_map(|pattern| self.by_name.matching(pattern.as_pattern_ref()));
        let lost = matching.map(|(_, id)| self.entry(TopicId(*id)).floor);
        lost.max()
            .unwrap_or_default()
            .max(self.forgotten_floor)
            .max(above)
    }

    /// Sets the seq up to which the history has no events.
    pub(crate) fn set_history_floor(&mut self, floor: u64) {
        self.history_floor = floor;
    }

    /// Returns the allocated bytes of the lists of seqs.
    pub(crate) fn index_bytes(&self) -> usize {
        self.index_bytes
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
    fn a_selection_is_of_the_last_events_up_to_a_limit() {
        let (mut topics, _) = topics_with(&[(1, 1), (3, 1), (5, 1)]);
        let other = topics.resolve(TopicRef::new("b").unwrap());
        topics.add_event(other, 4, 1);
        let last = |n, range, most| topics.last_seqs(&"*".parse().unwrap(), n, range, most);
        let seqs = |seqs: &[u64]| Some(seqs.iter().copied().collect::<VecDeque<_>>());
        assert_eq!(last(1, (0, 9), 2), seqs(&[4, 5]));
        assert_eq!(last(2, (0, 9), 3), seqs(&[3, 4, 5]));
        assert_eq!(last(2, (0, 9), 2), None);
        assert_eq!(last(2, (1, 4), 9), seqs(&[3, 4]));
        assert_eq!(last(2, (5, 4), 9), seqs(&[]));

        let last = |n, upto| topics.last(&"a".parse().unwrap(), n, upto);
        let [(name, count, first)] = &last(2, 9)[..] else {
            panic!("one topic")
        };
        assert_eq!((name.as_str(), *count, *first), ("a", 2, 3));
        assert_eq!(last(2, 0), []);
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
