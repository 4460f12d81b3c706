//! [`Topics`]: the table of known topics, with the feeds of each topic and the seqs of its events.

use std::collections::VecDeque;

use qsse_topic::{Filter, Matcher, PatternRef, Topic, TopicMap, TopicRef};

use crate::config::TopicRetention;

mod retained;

/// This many topics without events stay known, so that a busy topic keeps its routes even if
/// nothing is retained.
const IDLE_TOPICS: usize = 65_536;

/// The number of a topic in the table. It is stable while the topic is pinned or has an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TopicId(u32);

/// What is known of one topic.
pub(crate) struct TopicState {
    topic: Topic,
    /// The seqs of the topic's retained events, oldest first.
    seqs: VecDeque<u64>,
    /// The newest event. If a rule has removed it, its record in the history still names this
    /// topic.
    newest: u64,
    /// Bytes of the retained events.
    bytes: usize,
    /// The newest event of this topic that has been removed.
    floor: u64,
    /// The number of the retention rule that applies.
    rule: Option<usize>,
    /// Whether the topic is declared, and so stays without events.
    pinned: bool,
    /// The slots of the matching feeds, valid for `generation`.
    routes: Vec<u32>,
    /// The generation of the feeds in which `routes` was computed.
    generation: u64,
    /// Events published since the last report.
    published: u64,
}

impl TopicState {
    /// Returns whether it is pinned or has an event.
    fn is_live(&self) -> bool {
        self.pinned || !self.seqs.is_empty()
    }
}

/// All known topics.
#[derive(Default)]
pub(crate) struct Topics {
    by_name: TopicMap<u32>,
    entries: Vec<Option<TopicState>>,
    free: Vec<u32>,
    /// The number of topics that are neither pinned nor have events.
    idle: usize,
    /// The number of those that could not be forgotten at the last attempt.
    unforgotten: usize,
    /// Up to here the history has removed everything.
    history_floor: u64,
    /// Topics whose `published` is not 0.
    published: Vec<TopicId>,
    /// The topic that was resolved last.
    latest: Option<TopicId>,
    rules: Matcher<usize>,
    /// The newest removed event of any topic.
    max_floor: u64,
    /// The newest removed event of any forgotten topic.
    forgotten_floor: u64,
    /// Allocated bytes of all lists of seqs.
    index_bytes: usize,
}

impl Topics {
    /// Creates a table. The first rule that matches a topic applies to it.
    pub(crate) fn new(rules: &[TopicRetention]) -> Self {
        let mut matcher = Matcher::default();
        for (index, rule) in rules.iter().enumerate() {
            if matcher.get(&rule.pattern).is_none() {
                matcher.insert(rule.pattern.clone(), index);
            }
        }
        Self {
            rules: matcher,
            ..Self::default()
        }
    }

    /// Returns the number of the topic, which is added if it is new.
    pub(crate) fn resolve(&mut self, topic: TopicRef<'_>) -> TopicId {
        // A publisher often uses the same topic several times in a row.
        if let Some(last) = self.latest
            && self.entry(last).topic.as_str() == topic.as_str()
        {
            return last;
        }
        let id = match self.by_name.get(topic) {
            Some(&id) => TopicId(id),
            None => self.add(topic.to_topic()),
        };
        self.latest = Some(id);
        id
    }

    /// Pins the topic, so that it stays known.
    pub(crate) fn pin(&mut self, topic: TopicRef<'_>) {
        let id = self.resolve(topic);
        let entry = self.entry_mut(id);
        if !entry.pinned {
            entry.pinned = true;
            if entry.seqs.is_empty() {
                self.idle -= 1;
            }
        }
    }

    /// Returns the first topics, by name, that match `pattern` and are pinned or have an event: each
    /// with its newest event and their number.
    pub(crate) fn stats(&self, pattern: PatternRef<'_>, limit: usize) -> Vec<(Topic, u64, usize)> {
        let live = self.by_name.matching(pattern).filter_map(|(_, id)| {
            let entry = self.entries[*id as usize].as_ref()?;
            entry.is_live().then_some(entry)
        });
        live.take(limit)
            .map(|entry| (entry.topic.clone(), entry.newest, entry.seqs.len()))
            .collect()
    }

    /// Returns the topics that match `pattern` and are pinned or have an event, sorted. If there
    /// are more than `limit`, it stops there.
    pub(crate) fn matching(&self, pattern: PatternRef<'_>, limit: usize) -> Vec<Topic> {
        let live = |id: u32| {
            let entry = self.entries[id as usize].as_ref();
            entry.is_some_and(TopicState::is_live)
        };
        let matches = self.by_name.matching(pattern).filter(|(_, id)| live(**id));
        let matches = matches.take(limit);
        let mut topics: Vec<Topic> = matches.map(|(topic, _)| topic.clone()).collect();
        topics.sort_unstable();
        topics
    }

    /// Returns the feeds of a topic. `feeds` is searched only if feeds were added or dropped since
    /// the last time.
    pub(crate) fn routes(
        &mut self,
        id: TopicId,
        feeds: &Matcher<Vec<u32>>,
        generation: u64,
    ) -> &[u32] {
        let entry = self.entry_mut(id);
        if entry.generation != generation {
            entry.generation = generation;
            entry.routes.clear();
            for (_, slots) in feeds.matches(&entry.topic) {
                entry.routes.extend_from_slice(slots);
            }
            // A feed with several patterns may be found more than once.
            entry.routes.sort_unstable();
            entry.routes.dedup();
        }
        &entry.routes
    }

    /// Counts a published event.
    pub(crate) fn count(&mut self, id: TopicId) {
        let entry = self.entry_mut(id);
        entry.published += 1;
        if entry.published == 1 {
            self.published.push(id);
        }
    }

    /// Returns how many events each topic has had since the last call.
    pub(crate) fn take_published(&mut self) -> Vec<(Topic, u64)> {
        let ids = std::mem::take(&mut self.published);
        let take = |id| {
            let entry = self.entry_mut(id);
            (entry.topic.clone(), std::mem::take(&mut entry.published))
        };
        ids.into_iter().map(take).collect()
    }

    /// Returns the topic's name.
    pub(crate) fn name(&self, id: TopicId) -> &Topic {
        &self.entry(id).topic
    }

    /// Returns the number of the topic's retention rule.
    pub(crate) fn rule(&self, id: TopicId) -> Option<usize> {
        self.entry(id).rule
    }

    /// Returns the topics that have a rule and an event.
    pub(crate) fn ruled(&self) -> Vec<TopicId> {
        let ruled = |entry: &TopicState| entry.rule.is_some() && !entry.seqs.is_empty();
        let entries = self.entries.iter().enumerate();
        entries
            .filter(|(_, entry)| entry.as_ref().is_some_and(ruled))
            .map(|(id, _)| TopicId(id as u32))
            .collect()
    }

    /// Returns the known topics that match `filter`; `None` if there are more than `most`.
    pub(crate) fn admitted(&self, filter: &Filter, most: usize) -> Option<Vec<TopicId>> {
        let mut ids = Vec::new();
        for pattern in filter {
            for (_, id) in self.by_name.matching(pattern.as_pattern_ref()) {
                ids.push(TopicId(*id));
                if ids.len() > most {
                    return None;
                }
            }
        }
        // Patterns of a filter may overlap.
        ids.sort_unstable();
        ids.dedup();
        Some(ids)
    }

    /// Returns the number of topics that are pinned or have an event.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len() - self.idle
    }

    fn add(&mut self, topic: Topic) -> TopicId {
        if self.idle >= IDLE_TOPICS.max(2 * self.unforgotten) {
            self.forget_idle();
        }
        let rule = self
            .rules
            .matches(topic.as_topic_ref())
            .map(|(_, index)| *index);
        let entry = TopicState {
            topic: topic.clone(),
            seqs: VecDeque::new(),
            newest: 0,
            bytes: 0,
            floor: 0,
            rule: rule.min(),
            pinned: false,
            routes: Vec::new(),
            generation: u64::MAX,
            published: 0,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = Some(entry);
                id
            }
            None => {
                self.entries.push(Some(entry));
                u32::try_from(self.entries.len() - 1).expect("topics are bounded by memory")
            }
        };
        self.by_name.insert(topic, id);
        self.idle += 1;
        TopicId(id)
    }

    fn forget_idle(&mut self) {
        self.latest = None;
        for (id, slot) in self.entries.iter_mut().enumerate() {
            // A topic stays while its events have not been counted, or are still in the history.
            let idle = |entry: &mut TopicState| {
                let unused = entry.seqs.is_empty() && entry.newest <= self.history_floor;
                unused && !entry.pinned && entry.published == 0
            };
            if let Some(entry) = slot.take_if(idle) {
                // Its removed events now count for every topic: a gap too many, but never one too
                // few.
                self.forgotten_floor = self.forgotten_floor.max(entry.floor);
                self.by_name.remove(&entry.topic);
                self.free.push(id as u32);
                self.idle -= 1;
            }
        }
        self.unforgotten = self.idle;
    }

    fn entry(&self, id: TopicId) -> &TopicState {
        self.entries[id.0 as usize]
            .as_ref()
            .expect("a topic in use is not forgotten")
    }

    fn entry_mut(&mut self, id: TopicId) -> &mut TopicState {
        self.entries[id.0 as usize]
            .as_mut()
            .expect("a topic in use is not forgotten")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicRef<'_> {
        TopicRef::new(name).unwrap()
    }

    #[test]
    fn only_pinned_topics_and_those_with_events_count_as_known() {
        let mut topics = Topics::default();
        topics.resolve(topic("idle"));
        topics.pin(topic("pinned"));
        let kept = topics.resolve(topic("kept"));
        topics.add_event(kept, 1, 10);
        let all = qsse_topic::Pattern::new("*").unwrap();
        let names = |topics: &Topics| {
            let matching = topics.matching((&all).into(), usize::MAX);
            matching
                .iter()
                .map(|topic| topic.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&topics), ["kept", "pinned"]);
        assert_eq!(topics.len(), 2);
        topics.release(kept, 1, 1, 10);
        assert_eq!(topics.floor(&"kept".parse().unwrap(), 0), 1);
        assert_eq!(topics.floor(&"idle".parse().unwrap(), 0), 0);
        assert_eq!(names(&topics), ["pinned"]);
        assert_eq!(topics.len(), 1);
    }

    #[test]
    fn a_floor_stays_when_its_topic_is_forgotten() {
        let mut topics = Topics::default();
        let lost = |topics: &Topics, name: &str| topics.floor(&name.parse().unwrap(), 0);
        let [late, early] = ["late", "early"].map(|name| topics.resolve(topic(name)));
        for (id, seq) in [(early, 1), (late, 2), (late, 4)] {
            topics.add_event(id, seq, 10);
        }
        topics.release(late, 2, 1, 10);
        assert!(!topics.is_retained(late, 2) && topics.is_retained(late, 3));
        assert_eq!((lost(&topics, "late"), lost(&topics, "early")), (2, 0));
        assert!(topics.retains_after(2) && !topics.retains_after(1));
        topics.release(late, 4, 1, 10);
        topics.remove_through(topic("early"), 3);
        assert_eq!((lost(&topics, "late"), lost(&topics, "early")), (4, 1));
        // Both are forgotten, first the one that has lost more.
        topics.set_history_floor(4);
        for n in 0..2 * IDLE_TOPICS {
            topics.resolve(topic(&format!("t.{n}")));
        }
        assert!(topics.by_name.get(topic("late")).is_none());
        for name in ["late", "early", "never", "*"] {
            assert_eq!(lost(&topics, name), 4, "{name}");
        }
    }

    #[test]
    fn a_topic_falls_under_the_first_rule_that_matches() {
        let rule = |pattern: &str| TopicRetention::of(pattern.parse().unwrap());
        let mut topics = Topics::new(&[rule("a.*"), rule("a.b"), rule("a.*"), rule("c")]);
        let mut id = |name: &str| topics.resolve(topic(name));
        let [ab, c, d] = ["a.b", "c", "d"].map(&mut id);
        let rules = [ab, c, d].map(|id| topics.rule(id));
        assert_eq!(rules, [Some(0), Some(3), None]);
        assert_eq!(topics.ruled(), [], "none has an event");
        topics.add_event(c, 1, 10);
        topics.add_event(d, 2, 10);
        assert_eq!(topics.ruled(), [c]);
    }

    #[test]
    fn a_filter_that_matches_too_many_topics_gives_no_list() {
        let mut topics = Topics::default();
        let ids = ["a.b", "a.c", "d"].map(|name| topics.resolve(topic(name)));
        let admitted = |filter: &str, most| topics.admitted(&filter.parse().unwrap(), most);
        assert_eq!(admitted("a.*", 2), Some(ids[..2].to_vec()));
        assert_eq!(admitted("a.*", 1), None);
        assert_eq!(admitted("e", 0), Some(Vec::new()));
    }

    #[test]
    fn topics_that_come_and_go_do_not_pile_up() {
        let mut topics = Topics::default();
        for n in 0..3 * IDLE_TOPICS {
            topics.resolve(topic(&format!("t.{n}")));
        }
        assert!(
            topics.entries.len() <= IDLE_TOPICS,
            "{}",
            topics.entries.len()
        );
        assert_eq!(topics.len(), 0);
    }
}
