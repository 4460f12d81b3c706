//! The table of topics: each known topic once, with the feeds its events go to.

use qsse_topic::{Matcher, PatternRef, Topic, TopicMap, TopicRef};

/// Topics without a kept event stay known up to this many, so that a busy topic keeps its routes when nothing is kept.
const IDLE_TOPICS: usize = 65_536;

/// A topic's place in the table, stable while it is pinned or has a kept event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicId(u32);

/// What is known of one topic.
pub(crate) struct Entry {
    topic: Topic,
    /// Events of this topic that the history holds.
    kept: u64,
    /// Declared topics stay without events too.
    pinned: bool,
    /// The slots of the feeds that match, valid for `generation`.
    routes: Vec<u32>,
    /// The generation of the feeds that `routes` was made for.
    generation: u64,
    /// Events published since they were last asked for.
    published: u64,
}

/// All known topics.
#[derive(Default)]
pub(crate) struct Topics {
    by_name: TopicMap<u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Entries neither pinned nor kept.
    idle: usize,
    /// Topics whose `published` is not zero.
    published: Vec<TopicId>,
}

impl Topics {
    /// The topic's place, made if it is new.
    pub(crate) fn resolve(&mut self, topic: TopicRef<'_>) -> TopicId {
        match self.by_name.get(topic) {
            Some(&id) => TopicId(id),
            None => self.add(topic.to_topic()),
        }
    }

    /// Keeps the topic known for good.
    pub(crate) fn pin(&mut self, topic: TopicRef<'_>) {
        let id = self.resolve(topic);
        let entry = self.entry_mut(id);
        if !entry.pinned {
            entry.pinned = true;
            if entry.kept == 0 {
                self.idle -= 1;
            }
        }
    }

    /// The topics that `pattern` matches among those pinned or with a kept event, sorted.
    pub(crate) fn matching(&self, pattern: PatternRef<'_>) -> Vec<Topic> {
        let live = |id: u32| {
            let entry = self.entries[id as usize].as_ref();
            entry.is_some_and(|entry| entry.pinned || entry.kept > 0)
        };
        let matches = self.by_name.matching(pattern).filter(|(_, id)| live(**id));
        let mut topics: Vec<Topic> = matches.map(|(topic, _)| topic.clone()).collect();
        topics.sort_unstable();
        topics
    }

    /// The feeds of a topic; `feeds` is asked only when they have changed since the last time.
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
            // A feed of several patterns may be found by more than one.
            entry.routes.sort_unstable();
            entry.routes.dedup();
        }
        &entry.routes
    }

    /// Counts an event published.
    pub(crate) fn count(&mut self, id: TopicId) {
        let entry = self.entry_mut(id);
        entry.published += 1;
        if entry.published == 1 {
            self.published.push(id);
        }
    }

    /// How many events each topic has had since the last call.
    pub(crate) fn take_published(&mut self) -> Vec<(Topic, u64)> {
        let ids = std::mem::take(&mut self.published);
        let take = |id| {
            let entry = self.entry_mut(id);
            (entry.topic.clone(), std::mem::take(&mut entry.published))
        };
        ids.into_iter().map(take).collect()
    }

    /// The topic's name.
    pub(crate) fn name(&self, id: TopicId) -> &Topic {
        &self.entry(id).topic
    }

    /// Counts one more kept event.
    pub(crate) fn keep(&mut self, id: TopicId) {
        let entry = self.entry_mut(id);
        entry.kept += 1;
        if entry.kept == 1 && !entry.pinned {
            self.idle -= 1;
        }
    }

    /// Counts one kept event less.
    pub(crate) fn release(&mut self, id: TopicId) {
        let entry = self.entry_mut(id);
        entry.kept -= 1;
        if entry.kept == 0 && !entry.pinned {
            self.idle += 1;
        }
    }

    /// How many topics are pinned or have a kept event.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len() - self.idle
    }

    fn add(&mut self, topic: Topic) -> TopicId {
        if self.idle >= IDLE_TOPICS {
            self.forget_idle();
        }
        let entry = Entry {
            topic: topic.clone(),
            kept: 0,
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
        for (id, slot) in self.entries.iter_mut().enumerate() {
            // One whose events are not counted yet stays until they are.
            let idle = |entry: &mut Entry| entry.kept == 0 && !entry.pinned && entry.published == 0;
            if let Some(entry) = slot.take_if(idle) {
                self.by_name.remove(&entry.topic);
                self.free.push(id as u32);
                self.idle -= 1;
            }
        }
    }

    fn entry(&self, id: TopicId) -> &Entry {
        self.entries[id.0 as usize]
            .as_ref()
            .expect("a topic in use is not forgotten")
    }

    fn entry_mut(&mut self, id: TopicId) -> &mut Entry {
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
    fn only_pinned_and_kept_topics_count_as_known() {
        let mut topics = Topics::default();
        topics.resolve(topic("idle"));
        topics.pin(topic("pinned"));
        let kept = topics.resolve(topic("kept"));
        topics.keep(kept);
        let all = qsse_topic::Pattern::new("*").unwrap();
        let names = |topics: &Topics| {
            let matching = topics.matching((&all).into());
            matching
                .iter()
                .map(|topic| topic.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&topics), ["kept", "pinned"]);
        assert_eq!(topics.len(), 2);
        topics.release(kept);
        assert_eq!(names(&topics), ["pinned"]);
        assert_eq!(topics.len(), 1);
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
    }
}
