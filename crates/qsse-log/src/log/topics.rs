//! What a log reports of its topics.

use qsse_proto::EventId;
use qsse_topic::{Filter, Pattern, PatternRef, Topic};

use super::Log;
use crate::contained::contained_now;
use crate::storage::StorageError;

/// What a log has of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// The topic.
    pub topic: Topic,
    /// Its newest event in the history.
    pub last: Option<EventId>,
    /// The number of its events in the history.
    pub events: usize,
}

impl Log {
    /// Returns the topics that match `pattern` and are declared or have a stored event, in order.
    ///
    /// If there are more than `limit`, it stops there, so that a search costs no more than its
    /// answer, and returns any `limit` of them. The search keeps its thread;
    /// [`topics_matching_in_turns`](Self::topics_matching_in_turns) does not.
    ///
    /// # Errors
    /// The storage panicked.
    pub fn topics_matching(
        &self,
        pattern: &Pattern,
        limit: usize,
    ) -> Result<Vec<Topic>, StorageError> {
        let mut search = TopicSearch::new(pattern, limit);
        while !search.part(self) {}
        Ok(search.finish(self.stored_topics(pattern.into(), limit)?))
    }

    /// Returns what [`topics_matching`](Self::topics_matching) returns. Each part of the search but
    /// the first waits for what `turn` returns, and holds that until it is done.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The storage panicked.
    pub async fn topics_matching_in_turns<F: Future>(
        &self,
        pattern: &Pattern,
        limit: usize,
        turn: impl Fn() -> F,
    ) -> Result<Vec<Topic>, StorageError> {
        let mut search = TopicSearch::new(pattern, limit);
        while !search.part(self) {
            let _turn = turn().await;
        }
        Ok(search.finish(self.stored_topics(pattern.into(), limit)?))
    }

    /// Returns the topics that match `pattern` and have an event in the storage, at most `limit`.
    fn stored_topics(
        &self,
        pattern: PatternRef<'_>,
        limit: usize,
    ) -> Result<Vec<Topic>, StorageError> {
        let Some(storage) = &self.shared.storage else {
            return Ok(Vec::new());
        };
        let filter = Filter::from(pattern.to_pattern());
        contained_now(|| Ok(storage.topics(&filter, limit)))
    }

    /// Returns the first topics, by name, that match `pattern` and are declared or have an event;
    /// at most `limit`. Of those that only a storage has, they are as many but may be others.
    ///
    /// # Errors
    /// The storage panicked.
    pub fn topic_stats(
        &self,
        pattern: PatternRef<'_>,
        limit: usize,
    ) -> Result<Vec<TopicStats>, StorageError> {
        let stored = self.stored_topics(pattern, limit)?;
        let (mut known, mut after) = (Vec::new(), None);
        loop {
            // Part by part, because the log is locked meanwhile.
            let state = self.shared.state.lock();
            let topics = &state.topics;
            after = topics.stats(pattern, after.as_ref(), limit, &mut known);
            if after.is_none() {
                break;
            }
        }
        let stats = |(topic, newest, events): (Topic, u64, usize)| TopicStats {
            topic,
            last: (events > 0).then(|| self.shared.lineage.id(newest)),
            events,
        };
        let mut stats: Vec<_> = known.into_iter().map(stats).collect();
        let has_more = stats.len() == limit;
        let end = stats
            .last()
            .map(|last| last.topic.clone())
            .filter(|_| has_more);
        let only_stored: Vec<_> = stored
            .into_iter()
            .filter(|topic| end.as_ref().is_none_or(|end| topic < end))
            .filter(|topic| {
                stats
                    .binary_search_by(|known| known.topic.cmp(topic))
                    .is_err()
            })
            .collect();
        stats.extend(only_stored.into_iter().map(|topic| TopicStats {
            topic,
            last: None,
            events: 0,
        }));
        stats.sort_unstable_by(|a, b| a.topic.cmp(&b.topic));
        stats.truncate(limit);
        Ok(stats)
    }
}

/// A search for the topics that match a pattern.
struct TopicSearch<'p> {
    pattern: &'p Pattern,
    limit: usize,
    found: Vec<Topic>,
    /// The last topic that was looked at.
    after: Option<Topic>,
}

impl<'p> TopicSearch<'p> {
    fn new(pattern: &'p Pattern, limit: usize) -> Self {
        Self {
            pattern,
            limit,
            found: Vec::new(),
            after: None,
        }
    }

    /// Searches the next part, while the log is locked. Returns true if there is no more.
    fn part(&mut self, log: &Log) -> bool {
        let state = log.shared.state.lock();
        let (pattern, after) = (self.pattern.into(), self.after.take());
        let topics = &state.topics;
        self.after = topics.matching(pattern, after.as_ref(), self.limit, &mut self.found);
        self.after.is_none()
    }

    /// Returns what was found, with the topics of the storage.
    fn finish(self, stored: Vec<Topic>) -> Vec<Topic> {
        let mut topics = self.found;
        topics.extend(stored);
        topics.sort_unstable();
        topics.dedup();
        topics.truncate(self.limit);
        topics
    }
}
