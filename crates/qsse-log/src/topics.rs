//! [`Topics`]: the table of known topics, with the feeds of each topic and the seqs of its events.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use qsse_topic::{Matcher, OrderedTopics, Pattern, PatternRef, Topic, TopicRef};

use crate::config::TopicRetention;

mod forget;
mod names;
mod owners;
mod retained;
pub(crate) mod scan;
mod slots;

use names::Names;
pub use owners::Owner;
use owners::{OwnerId, Owners};
use slots::Slots;

/// The most topics that a read or a start looks at in one step, which holds the log's lock. That
/// takes a fraction of a millisecond.
const LOOK: usize = 2_048;

/// The most bytes of cached routes. Beyond it, topics that many feeds match are looked up for each
/// event: a million topics times a thousand feeds must not take gigabytes.
const ROUTES_BYTES: usize = 16 << 20;

/// What adding a topic costs, in nodes of the matcher's tree that a lookup visits.
const NEW_TOPIC: u64 = 16;

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
    rule: Option<u32>,
    /// Who has added it.
    owner: Option<OwnerId>,
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
pub(crate) struct Topics {
    by_name: Names,
    in_order: OrderedTopics<TopicId>,
    entries: Slots<TopicState>,
    owners: Owners,
    /// For whom new topics are counted.
    owner: Option<Owner>,
    /// The number of topics that are neither pinned nor have events.
    idle: usize,
    /// The slot at which the search for topics to forget goes on.
    hand: u32,
    /// Up to here the history has removed everything.
    history_floor: u64,
    /// Topics whose `published` is not 0.
    published: Vec<TopicId>,
    /// The topic that was resolved last.
    latest: Option<TopicId>,
    rules: Matcher<u32>,
    /// The patterns of the rules, by number.
    ruled: Vec<Pattern>,
    /// The newest removed event among the topics without a rule, and among those of each rule.
    floors: Vec<u64>,
    /// The newest removed event of any topic.
    max_floor: u64,
    /// The newest removed event of any forgotten topic.
    forgotten_floor: u64,
    /// Allocated bytes of all lists of seqs.
    index_bytes: usize,
    /// Bytes of all topics apart from their seqs and routes.
    table_bytes: usize,
    /// Allocated bytes of all cached routes.
    routes_bytes: usize,
    /// Routes that are not cached.
    uncached: Vec<u32>,
    /// What topics that were added and feeds that were looked up have cost so far, in nodes that a
    /// lookup visits.
    work: u64,
}

impl Default for Topics {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Topics {
    /// Creates a table. The first rule that matches a topic applies to it.
    pub(crate) fn new(rules: &[TopicRetention]) -> Self {
        let mut matcher = Matcher::default();
        for (index, rule) in (0..).zip(rules) {
            if matcher.get(&rule.pattern).is_none() {
                matcher.insert(rule.pattern.clone(), index);
            }
        }
        Self {
            by_name: Names::default(),
            in_order: OrderedTopics::default(),
            entries: Slots::default(),
            owners: Owners::default(),
            owner: None,
            idle: 0,
            hand: 0,
            history_floor: 0,
            published: Vec::new(),
            latest: None,
            rules: matcher,
            ruled: rules.iter().map(|rule| rule.pattern.clone()).collect(),
            floors: vec![0; rules.len() + 1],
            max_floor: 0,
            forgotten_floor: 0,
            index_bytes: 0,
            table_bytes: 0,
            routes_bytes: 0,
            uncached: Vec::new(),
            work: 0,
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
        let id = self.find(topic).unwrap_or_else(|| self.add(topic));
        self.latest = Some(id);
        id
    }

    /// Returns the number of the topic, if it is known.
    pub(crate) fn find(&self, topic: TopicRef<'_>) -> Option<TopicId> {
        let name = topic.as_str();
        let is = |id| self.entry(TopicId(id)).topic.as_str() == name;
        self.by_name.find(name, is).map(TopicId)
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

    /// Does what [`matching`](Self::matching) does. Adds each topic with its newest event and the
    /// number of its events.
    pub(crate) fn stats(
        &self,
        pattern: PatternRef<'_>,
        after: Option<&Topic>,
        limit: usize,
        stats: &mut Vec<(Topic, u64, usize)>,
    ) -> Option<Topic> {
        let of = |topic: &TopicState| (topic.topic.clone(), topic.newest, topic.seqs.len());
        self.list(pattern, after, limit, stats, of)
    }

    /// Adds the topics that match `pattern` and are pinned or have an event to `topics`, in order,
    /// until it has `limit`. Looks at a bounded number of topics after `after`. Returns the last
    /// one if there may be more, to continue there.
    pub(crate) fn matching(
        &self,
        pattern: PatternRef<'_>,
        after: Option<&Topic>,
        limit: usize,
        topics: &mut Vec<Topic>,
    ) -> Option<Topic> {
        self.list(pattern, after, limit, topics, |topic| topic.topic.clone())
    }

    fn list<T>(
        &self,
        pattern: PatternRef<'_>,
        after: Option<&Topic>,
        limit: usize,
        found: &mut Vec<T>,
        of: impl Fn(&TopicState) -> T,
    ) -> Option<Topic> {
        let mut visits = LOOK;
        let in_order = &self.in_order;
        in_order.visit(pattern, after, &mut visits, |_, id| {
            let topic = self.entry(*id);
            if found.len() < limit && topic.is_live() {
                found.push(of(topic));
            }
            match found.len() < limit {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })
    }

    /// Returns the feeds of a topic. `feeds` is searched only if feeds were added or dropped since
    /// the last time.
    #[inline]
    pub(crate) fn routes(
        &mut self,
        id: TopicId,
        feeds: &Matcher<Vec<u32>>,
        generation: u64,
    ) -> &[u32] {
        let known = self.entry(id).generation == generation;
        if known || self.find_routes(id, feeds, generation) {
            &self.entry(id).routes
        } else {
            &self.uncached
        }
    }

    /// Looks up the feeds of a topic, and caches them. Returns false if there is no room: then they
    /// are in `uncached`.
    fn find_routes(&mut self, id: TopicId, feeds: &Matcher<Vec<u32>>, generation: u64) -> bool {
        let mut found = std::mem::take(&mut self.uncached);
        found.clear();
        let (others, entry) = self.entry_and_bytes(id);
        let mut matches = feeds.matches(&entry.topic);
        for (_, slots) in matches.by_ref() {
            found.extend_from_slice(slots);
        }
        let visited = matches.visited() as u64;
        // A feed with several patterns may be found more than once.
        found.sort_unstable();
        found.dedup();
        let fits = others + size_of_val(&found[..]) <= ROUTES_BYTES;
        entry.routes.clear();
        if fits {
            entry.routes.shrink_to(found.len());
            entry.routes.reserve_exact(found.len());
            entry.routes.extend_from_slice(&found);
            entry.generation = generation;
        } else {
            entry.routes = Vec::new();
        }
        let bytes = entry.routes_bytes();
        self.routes_bytes = others + bytes;
        self.work += visited;
        self.uncached = found;
        fits
    }

    /// Returns the bytes of the routes of all other topics, and the topic.
    fn entry_and_bytes(&mut self, id: TopicId) -> (usize, &mut TopicState) {
        let all = self.routes_bytes;
        let entry = self.entry_mut(id);
        (all - entry.routes_bytes(), entry)
    }

    /// Counts a published event.
    pub(crate) fn count(&mut self, id: TopicId) {
        let entry = self.entry_mut(id);
        entry.published += 1;
        if entry.published == 1 {
            self.published.push(id);
        }
    }

    /// Returns how many events topics have had since they were reported, for at most `most` topics.
    pub(crate) fn take_published(&mut self, most: usize) -> Vec<(Topic, u64)> {
        let first = self.published.len().saturating_sub(most);
        let ids = self.published.split_off(first);
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
        self.entry(id).rule.map(|rule| rule as usize)
    }

    /// Returns what topics that were added and feeds that were looked up have cost so far.
    pub(crate) fn work(&self) -> u64 {
        self.work
    }

    /// Returns the number of topics that are pinned or have an event.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.idle
    }

    fn add(&mut self, topic: TopicRef<'_>) -> TopicId {
        self.make_room();
        self.work += NEW_TOPIC;
        let topic = topic.to_topic();
        let rule = self.rules.matches(&topic).map(|(_, index)| *index);
        let entry = TopicState {
            topic: topic.clone(),
            seqs: VecDeque::new(),
            newest: 0,
            bytes: 0,
            floor: 0,
            rule: rule.min(),
            owner: self.owner.map(|owner| self.owners.add(owner)),
            pinned: false,
            routes: Vec::new(),
            generation: u64::MAX,
            published: 0,
        };
        self.table_bytes += entry.table_bytes();
        let id = self.entries.insert(entry);
        self.by_name.insert(topic.as_str(), id);
        self.in_order.insert(topic, TopicId(id));
        self.idle += 1;
        TopicId(id)
    }

    fn entry(&self, id: TopicId) -> &TopicState {
        let entry = self.entries.get(id.0);
        entry.expect("a topic in use is not forgotten")
    }

    fn entry_mut(&mut self, id: TopicId) -> &mut TopicState {
        let entry = self.entries.get_mut(id.0);
        entry.expect("a topic in use is not forgotten")
    }
}

impl TopicState {
    fn routes_bytes(&self) -> usize {
        self.routes.capacity() * size_of::<u32>()
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
            let mut matching = Vec::new();
            let more = topics.matching((&all).into(), None, usize::MAX, &mut matching);
            assert!(more.is_none());
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
        for n in 0..2 * forget::IDLE_TOPICS {
            topics.resolve(topic(&format!("t.{n}")));
        }
        assert!(topics.find(topic("late")).is_none());
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
        assert_eq!(topics.ruled(0, 9), [], "none has an event");
        topics.add_event(c, 1, 10);
        topics.add_event(d, 2, 10);
        assert_eq!(topics.ruled(0, 9), [c]);
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
        for n in 0..3 * forget::IDLE_TOPICS {
            topics.resolve(topic(&format!("t.{n}")));
        }
        let known = topics.entries.len();
        assert!(known <= forget::IDLE_TOPICS, "{known}");
        assert_eq!(topics.len(), 0);
    }
}
