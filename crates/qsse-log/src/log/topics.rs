//! What a log reports of its topics.

use qsse_proto::EventId;
use qsse_topic::{Filter, PatternRef, Topic};

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
    /// Returns the first topics, by name, that match `pattern` and are declared or have an event;
    /// at most `limit`. Of those that only a storage has, they are as many but may be others.
    /// Publishers wait while they are collected.
    ///
    /// # Errors
    /// The storage panicked.
    pub fn topic_stats(
        &self,
        pattern: PatternRef<'_>,
        limit: usize,
    ) -> Result<Vec<TopicStats>, StorageError> {
        let stored = match &self.shared.storage {
            Some(storage) => {
                let filter = Filter::from(pattern.to_pattern());
                contained_now(|| Ok(storage.topics(&filter, limit)))?
            }
            None => Vec::new(),
        };
        let known = self.shared.state.lock().topics.stats(pattern, limit);
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
