//! [`Scan`] and [`Selection`]: searches of the table in parts, with the lock released in between.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use qsse_topic::{Filter, Topic};

use super::{TopicId, Topics};

/// The most topics that one part of a selection looks at while the log is locked. That takes some
/// hundredths of a millisecond, and to wait for a turn costs little beside that.
pub(crate) const PART: usize = 256;

/// A search for the topics that match a filter. A topic that several patterns match is found more
/// than once.
#[derive(Default)]
pub(crate) struct Scan {
    /// The number of the pattern that is searched.
    pattern: usize,
    /// The last topic that was looked at.
    after: Option<Topic>,
}

impl Scan {
    /// Looks at up to `visits` topics, and calls `found` with those that match until it breaks.
    /// Returns true if there are no more. Call it with the same filter each time.
    pub(crate) fn part(
        &mut self,
        topics: &Topics,
        filter: &Filter,
        mut visits: usize,
        mut found: impl FnMut(TopicId) -> ControlFlow<()>,
    ) -> bool {
        let mut goes_on = true;
        while let Some(pattern) = filter.patterns().get(self.pattern) {
            if visits == 0 || !goes_on {
                return false;
            }
            if let Ok(name) = qsse_topic::TopicRef::new(pattern.as_str()) {
                visits -= 1;
                if let Some(id) = topics.find(name) {
                    goes_on = found(id).is_continue();
                }
            } else {
                let after = self.after.take();
                let in_order = &topics.in_order;
                self.after = in_order.visit(pattern, after.as_ref(), &mut visits, |_, id| {
                    let next = found(*id);
                    goes_on = next.is_continue();
                    next
                });
            }
            if self.after.is_none() {
                self.pattern += 1;
            }
        }
        true
    }
}

/// Selects the last events of each topic that matches a filter, in parts.
///
/// A topic's events are those that it has when its part is searched. What is appended meanwhile has
/// later seqs than those that are searched for.
pub(crate) struct Selection {
    filter: Filter,
    scan: Scan,
    /// How many events of each topic.
    n: usize,
    /// The range (after, upto] of their seqs.
    range: (u64, u64),
    /// The most events.
    most: usize,
    /// What the last part has found.
    found: Vec<u64>,
    /// Sorted seqs. Each list is much longer than the next, so that merging them takes few steps.
    runs: Vec<Vec<u64>>,
}

impl Selection {
    /// Selects the last `n` events in (after, upto] of each topic, at most `most` in total.
    pub(crate) fn new(filter: Filter, n: usize, range: (u64, u64), most: usize) -> Self {
        Self {
            filter,
            scan: Scan::default(),
            // With one more than there may be, it is already clear that there are too many.
            n: n.min(most.saturating_add(1)),
            range,
            most,
            found: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Returns the end of the range.
    pub(crate) fn upto(&self) -> u64 {
        self.range.1
    }

    /// Searches the next part of the table. Returns true if there is no more, or too much was
    /// found. Call [`settle`](Self::settle) after it, without the log's lock.
    pub(crate) fn search(&mut self, topics: &Topics) -> bool {
        let Self {
            found,
            n,
            range,
            most,
            ..
        } = self;
        let complete = self.scan.part(topics, &self.filter, PART, |id| {
            topics.last_seqs(id, *n, *range, found);
            match found.len() > *most {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        complete || self.len() > self.most
    }

    /// Sorts what the last part has found.
    pub(crate) fn settle(&mut self) {
        if self.found.is_empty() {
            return;
        }
        self.found.sort_unstable();
        // Patterns that overlap find a topic twice.
        self.found.dedup();
        self.runs.push(std::mem::take(&mut self.found));
        while let [.., longer, last] = &self.runs[..]
            && longer.len() < 2 * last.len()
        {
            self.merge();
        }
    }

    /// Merges two lists of what was found. Returns false if there is only one. Call it again and
    /// again when the search is complete: a merge of long lists takes milliseconds.
    pub(crate) fn tidy(&mut self) -> bool {
        let is_needed = self.runs.len() > 1;
        self.merge();
        is_needed
    }

    /// Returns the number of seqs that are held.
    pub(crate) fn len(&self) -> usize {
        self.found.len() + self.runs.iter().map(Vec::len).sum::<usize>()
    }

    /// Returns the seqs in order; `None` if they are too many.
    pub(crate) fn finish(mut self) -> Option<VecDeque<u64>> {
        while self.runs.len() > 1 {
            self.merge();
        }
        let seqs = self.runs.pop().unwrap_or_default();
        (seqs.len() <= self.most).then(|| seqs.into())
    }

    /// Merges the last two lists.
    fn merge(&mut self) {
        if self.runs.len() > 1
            && let Some(last) = self.runs.pop()
            && let Some(run) = self.runs.last_mut()
        {
            run.extend(last);
            // This finds the two sorted parts, and only merges them.
            run.sort();
            run.dedup();
        }
    }
}

#[cfg(test)]
mod tests {
    use qsse_topic::{IntoFilter, TopicRef};

    use super::*;

    fn add(topics: &mut Topics, name: &str, seq: u64) {
        let id = topics.resolve(TopicRef::new(name).unwrap());
        topics.add_event(id, seq, 1);
    }

    /// Returns the selection, and the number of its parts.
    fn select(
        topics: &Topics,
        filter: impl IntoFilter,
        n: usize,
        range: (u64, u64),
        most: usize,
    ) -> (Option<Vec<u64>>, usize) {
        let filter = filter.into_filter().unwrap();
        let mut selection = Selection::new(filter, n, range, most);
        let mut parts = 1;
        while !selection.search(topics) {
            selection.settle();
            parts += 1;
        }
        selection.settle();
        (selection.finish().map(Vec::from), parts)
    }

    #[test]
    fn a_selection_is_of_the_last_events_up_to_a_limit() {
        let mut topics = Topics::default();
        for seq in [1, 3, 5] {
            add(&mut topics, "a", seq);
        }
        add(&mut topics, "b", 4);
        let last = |n, range, most| select(&topics, "*", n, range, most).0;
        assert_eq!(last(1, (0, 9), 2), Some(vec![4, 5]));
        assert_eq!(last(2, (0, 9), 3), Some(vec![3, 4, 5]));
        assert_eq!(last(2, (0, 9), 2), None);
        assert_eq!(last(2, (1, 4), 9), Some(vec![3, 4]));
        assert_eq!(last(2, (5, 4), 9), Some(vec![]));
        let two = select(&topics, ["a", "b", "x"], 1, (0, 9), 9).0;
        assert_eq!(two, Some(vec![4, 5]));
        let overlapping = select(&topics, ["a", "*"], 1, (0, 9), 2).0;
        assert_eq!(overlapping, Some(vec![4, 5]), "each event once");
    }

    #[test]
    fn lists_are_merged_one_by_one() {
        let mut topics = Topics::default();
        for seq in 1..=7 * PART as u64 {
            add(&mut topics, &format!("t.{:05}", seq * 7_919 % 5_000), seq);
        }
        let all = "*".parse().unwrap();
        let mut selection = Selection::new(all, 1, (0, u64::MAX), usize::MAX);
        while !selection.search(&topics) {
            selection.settle();
        }
        selection.settle();
        let lists = selection.runs.len();
        let mut merges = 0;
        while selection.tidy() {
            merges += 1;
        }
        assert!(lists > 1);
        assert_eq!((merges, selection.runs.len()), (lists - 1, 1));
        assert!(selection.finish().unwrap().iter().is_sorted());
    }

    #[test]
    fn no_part_looks_at_more_topics_than_it_may() {
        let mut topics = Topics::default();
        let count = 20 * PART as u64;
        // Not in the order of the names.
        for seq in 1..=count {
            add(&mut topics, &format!("t.{}", seq * 7_919 % count), seq);
        }
        let (all, parts) = select(&topics, "*", 1, (0, count), count as usize);
        assert!(all.unwrap().into_iter().eq(1..=count));
        assert!((20..=21).contains(&parts), "{parts}");
        // Patterns that overlap find a topic twice, and an event once.
        let (all, parts) = select(
            &topics,
            ["t.*", "*.1", "*.2"],
            1,
            (0, count),
            count as usize,
        );
        assert!(all.unwrap().into_iter().eq(1..=count));
        assert!(parts <= 22, "{parts}");
        let (none, parts) = select(&topics, "*.*.none", 1, (0, count), 1);
        assert_eq!(none, Some(vec![]));
        assert!((20..=21).contains(&parts), "{parts}");
        let (too_many, parts) = select(&topics, "*", 1, (0, count), PART);
        assert_eq!(too_many, None);
        assert!(parts <= 3, "it ends as soon as there are too many: {parts}");
    }
}
