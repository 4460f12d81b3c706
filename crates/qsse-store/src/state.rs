//! [`Shared`]: what readers and the writer share.

use crate::error::Health;
use crate::meta::Epochs;
use crate::segment::{Files, Segment};
use parking_lot::{Mutex, RwLock};
use qsse_topic::{Filter, OrderedTopics, Topic, TopicRef};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Shared by a store and its readers.
pub(crate) struct Shared {
    pub(crate) files: Files,
    /// The number that was chosen when the store was created.
    pub(crate) store: u64,
    pub(crate) epochs: Epochs,
    /// Locked before the index of a segment, and never while one is locked.
    pub(crate) state: RwLock<State>,
    pub(crate) health: Mutex<Health>,
}

/// The current segments and topics.
pub(crate) struct State {
    /// In order. The last one is being written.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Seqs through here were appended or are lost.
    pub(crate) known: u64,
    pub(crate) topics: Topics,
}

/// The most topics that one part of a search looks at, while it keeps the writer waiting, and
/// others behind the writer. That takes a fraction of a millisecond.
const LOOK: usize = 2_048;

/// All topics with a retained event, and those with removed events.
///
/// They are in a tree, because a hash map would move all of them in one step when it grows.
#[derive(Default)]
pub(crate) struct Topics {
    map: OrderedTopics<TopicState>,
    /// Events of any topic may be missing up to here.
    pub(crate) missing: u64,
    /// Segments up to here were removed, so seqs that are not there are not lost.
    pub(crate) begin: u64,
    /// The highest floor of any topic.
    max_floor: u64,
    /// Retained events of all topics.
    pub(crate) events: u64,
    /// The number of topics without a retained event.
    idle: usize,
}

/// A search for the topics that match a filter.
#[derive(Default)]
struct Search {
    /// The number of the pattern that is searched.
    pattern: usize,
    /// The last topic that was looked at.
    after: Option<Topic>,
}

/// What is known of one topic.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TopicState {
    /// Retained events.
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    /// The newest event, even if it was removed.
    pub(crate) last: u64,
    /// Events up to here were removed.
    pub(crate) floor: u64,
    /// No retained event is older than this one.
    pub(crate) oldest: u64,
}

impl Shared {
    pub(crate) fn new(files: Files, store: u64, epochs: Epochs, state: State) -> Self {
        Self {
            files,
            store,
            epochs,
            state: RwLock::new(state),
            health: Mutex::new(Health::Good),
        }
    }

    /// Calls `found` with the topics that match `filter`, each once, until it breaks. The lock is
    /// released again and again.
    pub(crate) fn search(
        &self,
        filter: &Filter,
        mut found: impl FnMut(&Topic, &TopicState) -> ControlFlow<()>,
    ) {
        let mut search = Search::default();
        while !(self.state.read().topics).part(filter, &mut search, &mut found) {}
    }
}

impl State {
    /// Returns the segment that covers `seq`, or the first one after it.
    pub(crate) fn segment_at(&self, seq: u64) -> Option<(usize, &Arc<Segment>)> {
        let at = self.segments.partition_point(|segment| segment.end() < seq);
        self.segments.get(at).map(|segment| (at, segment))
    }

    pub(crate) fn active(&self) -> Option<&Arc<Segment>> {
        self.segments.last()
    }
}

impl Topics {
    /// Returns the seq up to which events of this topic were removed.
    pub(crate) fn floor(&self, topic: TopicRef<'_>) -> u64 {
        self.map.get(topic).map_or(0, |state| state.floor)
    }

    pub(crate) fn max_floor(&self) -> u64 {
        self.max_floor
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Topic, &TopicState)> {
        self.map.iter()
    }

    /// Looks at the next topics, and calls `found` with those that match the filter, each once,
    /// until it breaks. Returns true if there are no more, or it broke. Call it with the same
    /// filter each time.
    fn part(
        &self,
        filter: &Filter,
        search: &mut Search,
        mut found: impl FnMut(&Topic, &TopicState) -> ControlFlow<()>,
    ) -> bool {
        let (patterns, mut visits) = (filter.patterns(), LOOK);
        let mut goes_on = true;
        while let Some(pattern) = patterns.get(search.pattern) {
            if visits == 0 {
                return false;
            }
            let earlier = &patterns[..search.pattern];
            let after = search.after.take();
            let visit = |topic: &Topic, state: &TopicState| {
                if earlier.iter().any(|earlier| earlier.matches(topic)) {
                    return ControlFlow::Continue(());
                }
                let next = found(topic, state);
                goes_on = next.is_continue();
                next
            };
            search.after = self.map.visit(pattern, after.as_ref(), &mut visits, visit);
            if !goes_on {
                return true;
            }
            if search.after.is_none() {
                search.pattern += 1;
            }
        }
        true
    }

    /// Adds events of a topic, with the first and the last seq of them.
    pub(crate) fn add(
        &mut self,
        topic: TopicRef<'_>,
        (first, last): (u64, u64),
        count: u64,
        bytes: u64,
    ) {
        self.events += count;
        if let Some(state) = self.map.get_mut(topic) {
            if state.count == 0 && count > 0 {
                self.idle -= 1;
                state.oldest = first;
            }
            state.count += count;
            state.bytes += bytes;
            state.last = state.last.max(last);
            return;
        }
        self.idle += usize::from(count == 0);
        let state = TopicState {
            count,
            bytes,
            last,
            floor: 0,
            oldest: first,
        };
        self.map.insert(topic.to_topic(), state);
    }

    /// Raises the floor of a topic, which removes `count` events of `bytes` bytes.
    pub(crate) fn raise(&mut self, topic: TopicRef<'_>, floor: u64, count: u64, bytes: u64) {
        if self.map.get(topic).is_none() {
            self.add(topic, (floor, floor), 0, 0);
        }
        let Some(state) = self.map.get_mut(topic) else {
            return;
        };
        let gone = count.min(state.count);
        if gone > 0 && gone == state.count {
            self.idle += 1;
        }
        state.count -= gone;
        state.bytes = state.bytes.saturating_sub(bytes);
        state.floor = state.floor.max(floor);
        state.oldest = state.oldest.max(floor + 1);
        self.events = self.events.saturating_sub(gone);
        self.max_floor = self.max_floor.max(floor);
    }

    /// Records where the retained events of a topic begin.
    pub(crate) fn begins(&mut self, topic: TopicRef<'_>, oldest: u64) {
        if let Some(state) = self.map.get_mut(topic) {
            state.oldest = state.oldest.max(oldest);
        }
    }

    /// Forgets floors of topics without events, beyond `max` of them. Topics with events after
    /// `gone` are not forgotten, because these may still be on the disk.
    pub(crate) fn forget_idle(&mut self, max: usize, gone: u64) {
        if self.idle <= max {
            return;
        }
        let idle = |state: &TopicState| state.count == 0 && state.last <= gone;
        let mut floors: Vec<(u64, Topic)> = self
            .map
            .iter()
            .filter(|(_, state)| idle(state))
            .map(|(topic, state)| (state.floor, topic.clone()))
            .collect();
        floors.sort_unstable();
        // Well below the limit, so that this is rare.
        let excess = self.idle - max / 4 * 3;
        for (floor, topic) in floors.into_iter().take(excess) {
            self.missing = self.missing.max(floor);
            self.map.remove(&topic);
            self.idle -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_search_looks_at_more_topics_than_it_may() {
        let mut topics = Topics::default();
        for n in 0..2 * LOOK as u64 {
            let name = format!("t.{n}");
            topics.add(TopicRef::new(&name).unwrap(), (n, n), 1, 1);
        }
        let parts = |patterns: &[&str]| {
            let patterns = patterns.iter().map(|text| text.parse().unwrap());
            let filter = Filter::new(patterns).unwrap();
            let (mut search, mut found, mut parts) = (Search::default(), 0, 1);
            let mut count = |_: &Topic, _: &TopicState| {
                found += 1;
                ControlFlow::Continue(())
            };
            while !topics.part(&filter, &mut search, &mut count) {
                parts += 1;
            }
            (parts, found)
        };
        assert_eq!(parts(&["t.7"]), (1, 1));
        assert_eq!(parts(&["*.*.none"]), (3, 0));
        assert_eq!(parts(&["t.*"]), (3, 2 * LOOK));
        assert_eq!(parts(&["t.*", "*.7"]).1, 2 * LOOK, "each once");
    }
    fn topic(name: &str) -> TopicRef<'_> {
        TopicRef::new(name).unwrap()
    }

    #[test]
    fn the_figures_of_a_topic_follow_its_events() {
        let mut topics = Topics::default();
        let figures = |topics: &Topics, name| {
            let state = topics.map.get(topic(name)).unwrap();
            let seqs = (state.oldest, state.last, state.floor);
            (state.count, state.bytes, seqs)
        };
        topics.add(topic("a"), (3, 5), 2, 10);
        topics.add(topic("a"), (7, 7), 1, 4);
        topics.add(topic("b"), (8, 8), 1, 2);
        assert_eq!(figures(&topics, "a"), (3, 14, (3, 7, 0)));
        topics.raise(topic("a"), 5, 2, 10);
        assert_eq!(figures(&topics, "a"), (1, 4, (6, 7, 5)));
        topics.begins(topic("a"), 7);
        topics.begins(topic("a"), 2);
        assert_eq!(figures(&topics, "a"), (1, 4, (7, 7, 5)));
        assert_eq!((topics.events, topics.max_floor()), (2, 5));
        topics.raise(topic("a"), 7, 1, 4);
        assert_eq!(figures(&topics, "a"), (0, 0, (8, 7, 7)));
        topics.add(topic("a"), (12, 12), 1, 3);
        assert_eq!(figures(&topics, "a"), (1, 3, (12, 12, 7)));
        // A floor that was read from its file, before the events.
        topics.raise(topic("c"), 4, 0, 0);
        assert_eq!(figures(&topics, "c"), (0, 0, (5, 4, 4)));
        assert_eq!((topics.events, topics.max_floor()), (2, 7));
    }

    #[test]
    fn floors_are_forgotten_of_idle_topics_alone_and_only_beyond_the_limit() {
        let mut topics = Topics::default();
        let names: Vec<String> = (0..=10).map(|n| format!("t.{n}")).collect();
        for n in 1..=10 {
            let topic = topic(&names[n as usize]);
            topics.add(topic, (n, n), 1, 1);
            topics.raise(topic, n, 1, 1);
        }
        let known = |topics: &Topics| {
            let known = (1..=10).filter(|n| topics.floor(topic(&names[*n as usize])) == *n);
            (topics.missing, known.collect::<Vec<u64>>())
        };
        // This one has an event again.
        topics.add(topic(&names[1]), (20, 20), 1, 1);
        topics.forget_idle(9, 100);
        assert_eq!(known(&topics), (0, (1..=10).collect()));
        topics.forget_idle(8, 100);
        assert_eq!(known(&topics), (4, vec![1, 5, 6, 7, 8, 9, 10]));
        // The events of the others may still be on the disk.
        topics.forget_idle(4, 6);
        assert_eq!(known(&topics), (6, vec![1, 7, 8, 9, 10]));
        topics.forget_idle(0, 9);
        assert_eq!(known(&topics), (9, vec![1, 10]));
    }
}
