//! What is kept of each topic, and what is not any more.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;

use qsse_topic::{Filter, Topic, TopicRef};

use super::{TopicId, Topics};

impl Topics {
    /// Notes that an event is kept, this many bytes long.
    pub(crate) fn keep(&mut self, id: TopicId, seq: u64, bytes: usize) {
        let entry = self.entry_mut(id);
        let before = entry.kept.capacity();
        entry.kept.push_back(seq);
        entry.newest = seq;
        entry.kept_bytes += bytes;
        let grown = (entry.kept.capacity() - before) * size_of::<u64>();
        if entry.kept.len() == 1 && !entry.pinned {
            self.idle -= 1;
        }
        self.index_bytes += grown;
    }

    /// Notes that the topic's oldest events are kept no more, if these are the `count` from seq `first` on; several only of a topic without
    /// a rule.
    pub(crate) fn release(&mut self, id: TopicId, first: u64, count: usize, bytes: usize) {
        let kept = self.kept(id);
        if kept.front() == Some(&first) {
            return self.drop_oldest(id, count, bytes);
        }
        // A rule, or the storage, has let go of some before, or of all.
        let last = first + count as u64 - 1;
        let rest = kept.partition_point(|seq| *seq <= last);
        self.drop_oldest(id, rest, bytes);
    }

    /// Notes that the topic's events up to a seq are kept no more, because the storage has let go of them.
    pub(crate) fn let_go(&mut self, topic: TopicRef<'_>, floor: u64) {
        if let Some(&id) = self.by_name.get(topic) {
            let id = TopicId(id);
            let gone = self.kept(id).partition_point(|seq| *seq <= floor);
            self.drop_oldest(id, gone, 0);
        }
    }

    /// Drops the topic's `count` oldest events, of so many bytes; those count only where a rule does.
    fn drop_oldest(&mut self, id: TopicId, count: usize, bytes: usize) {
        let entry = self.entry_mut(id);
        let Some(seq) = entry.kept.drain(..count).next_back() else {
            return;
        };
        entry.lost = seq;
        entry.kept_bytes = entry.kept_bytes.saturating_sub(bytes);
        let before = entry.kept.capacity();
        if entry.kept.is_empty() {
            entry.kept = VecDeque::new();
            entry.kept_bytes = 0;
        } else if entry.kept.len() < before / 4 {
            entry.kept.shrink_to(before / 2);
        }
        let shrunk = (before - entry.kept.capacity()) * size_of::<u64>();
        if entry.kept.is_empty() && !entry.pinned {
            self.idle += 1;
        }
        self.index_bytes -= shrunk;
        self.lost = self.lost.max(seq);
    }

    /// Whether this event of the topic is kept, if the history has it at all.
    pub(crate) fn is_kept(&self, id: TopicId, seq: u64) -> bool {
        seq > self.entry(id).lost
    }

    /// The seqs of the topic's kept events, oldest first.
    pub(crate) fn kept(&self, id: TopicId) -> &VecDeque<u64> {
        &self.entry(id).kept
    }

    /// Bytes of the topic's kept events.
    pub(crate) fn kept_bytes(&self, id: TopicId) -> usize {
        self.entry(id).kept_bytes
    }

    /// The seqs of the topic's kept events in (after, upto], oldest first.
    pub(crate) fn kept_within(&self, id: TopicId, after: u64, upto: u64) -> Iter<'_, u64> {
        let kept = self.kept(id);
        let end = kept.partition_point(|seq| *seq <= upto);
        let start = kept.partition_point(|seq| *seq <= after);
        kept.range(start.min(end)..end)
    }

    /// Of each topic that `filter` admits how many of its last `n` events up to `upto` are kept, and the first of those.
    pub(crate) fn last(&self, filter: &Filter, n: usize, upto: u64) -> Vec<(Topic, usize, u64)> {
        let ids = self.admitted(filter, usize::MAX).unwrap_or_default();
        let last = ids.into_iter().filter_map(|id| {
            let mut seqs = last_of(self.kept_within(id, 0, upto), n);
            let count = seqs.len();
            Some((self.name(id).clone(), count, *seqs.next()?))
        });
        last.collect()
    }

    /// The seqs of the last `n` kept events of each topic that `filter` admits, of those in (after, upto], in order.
    ///
    /// `None` if there are more than `most`.
    pub(crate) fn last_seqs(
        &self,
        filter: &Filter,
        n: usize,
        (after, upto): (u64, u64),
        most: usize,
    ) -> Option<VecDeque<u64>> {
        let mut seqs = Vec::new();
        for id in self.admitted(filter, most)? {
            seqs.extend(last_of(self.kept_within(id, after, upto), n));
            if seqs.len() > most {
                return None;
            }
        }
        seqs.sort_unstable();
        Some(seqs.into())
    }

    /// Whether everything after `seq` is kept.
    pub(crate) fn keeps_after(&self, seq: u64) -> bool {
        self.lost <= seq && self.forgotten <= seq
    }

    /// The newest event that `filter` admits and that is kept no more; at most `above` if there is none above that.
    pub(crate) fn lost(&self, filter: &Filter, above: u64) -> u64 {
        if self.lost.max(self.forgotten) <= above {
            return above;
        }
        let everything = filter
            .patterns()
            .iter()
            .any(|pattern| pattern.as_str() == "*");
        if everything {
            return self.lost.max(self.forgotten);
        }
        let matching = filter
            .patterns()
            .iter()
            .flat_map(|pattern| self.by_name.matching(pattern.as_pattern_ref()));
        let lost = matching.map(|(_, id)| self.entry(TopicId(*id)).lost);
        lost.max()
            .unwrap_or_default()
            .max(self.forgotten)
            .max(above)
    }

    /// The history has no record up to this seq any more.
    pub(crate) fn set_floor(&mut self, floor: u64) {
        self.floor = floor;
    }

    /// Allocated bytes of the lists of seqs.
    pub(crate) fn index_bytes(&self) -> usize {
        self.index_bytes
    }
}

/// The last `n` of these.
fn last_of(seqs: Iter<'_, u64>, n: usize) -> std::iter::Skip<Iter<'_, u64>> {
    let surplus = seqs.len().saturating_sub(n);
    seqs.skip(surplus)
}
