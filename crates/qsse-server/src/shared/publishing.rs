//! Publishing in the server's own process: what is checked, and the append to the log.

use bytes::Bytes;
use qsse_log::{Appended, Known, NewEvent, PublishKey, Receipt};
use qsse_proto::limits::MATCHING_TOPICS;
use qsse_proto::publish::Key;
use qsse_proto::{EventId, Published};
use qsse_topic::{Pattern, Topic, TopicRef};

use super::Shared;
use crate::dedup_scope;
use crate::fairness::searches::Searcher;
use crate::publish::{Options, PublishError};

/// Most bytes of all events of one publish to a pattern: it is one step, which delays those behind
/// it.
const MATCHING_BYTES: usize = 64 << 20;

impl Shared {
    /// Appends an event without waiting for anything.
    pub(crate) fn try_publish(&self, topic: &str, data: &[u8]) -> Result<EventId, PublishError> {
        self.check_open()?;
        if self.log.is_stored_first() {
            return Err(PublishError::NeedsAwait);
        }
        let event = NewEvent::new(self.topic(topic)?, data);
        Ok(self.log.append(self.now(), event)?)
    }

    /// Appends several events as one step, without waiting for anything.
    pub(crate) fn try_publish_all<T: AsRef<str>, D: AsRef<[u8]>>(
        &self,
        events: &[(T, D)],
    ) -> Result<Published, PublishError> {
        if self.log.is_stored_first() {
            return Err(PublishError::NeedsAwait);
        }
        Ok(self.publish_all(&self.checked(events)?)?.0)
    }

    /// Appends an event, unless one was appended under its key before.
    pub(crate) fn publish(
        &self,
        topic: &str,
        data: &[u8],
        options: &Options,
    ) -> Result<(EventId, Receipt), PublishError> {
        self.check_open()?;
        let event = NewEvent::new(self.topic(topic)?, data).kind(&options.kind);
        let (published, receipt) = self.append(&[event], options.key.as_ref())?;
        // There is none if a publish to a pattern used the key before and matched no topic.
        let id = published.last().ok_or(PublishError::NoId)?;
        Ok((id, receipt))
    }

    /// Returns the topics that a publish of `bytes` bytes to a pattern reaches.
    pub(crate) async fn reached(
        &self,
        pattern: &str,
        bytes: usize,
    ) -> Result<Vec<Topic>, PublishError> {
        self.check_open()?;
        let (pattern, searcher) = (parse_pattern(pattern)?, Searcher::in_process());
        let topics = self.topics_matching(&pattern, &searcher).await?;
        check_reach(topics.len(), bytes)?;
        Ok(topics)
    }

    /// Appends one event on each of these topics, unless that was done under its key before.
    pub(crate) fn publish_matching(
        &self,
        topics: &[Topic],
        data: &[u8],
        options: &Options,
    ) -> Result<(Published, Receipt), PublishError> {
        self.check_open()?;
        let events: Vec<_> = topics
            .iter()
            .map(|topic| NewEvent::new(topic.as_topic_ref(), data).kind(&options.kind))
            .collect();
        self.append(&events, options.key.as_ref())
    }

    /// Appends these events as one step.
    pub(crate) fn publish_all(
        &self,
        events: &[NewEvent<'_>],
    ) -> Result<(Published, Receipt), PublishError> {
        self.check_open()?;
        self.append(events, None)
    }

    /// Checks that all of these may be published.
    pub(crate) fn checked<'e, T: AsRef<str>, D: AsRef<[u8]>>(
        &self,
        events: &'e [(T, D)],
    ) -> Result<Vec<NewEvent<'e>>, PublishError> {
        self.check_open()?;
        let limit = self.config.log.max_event_bytes;
        let mut last: Option<TopicRef<'e>> = None;
        // Not collected from results, whose number is unknown beforehand: that would move them
        // again.
        let mut checked = Vec::with_capacity(events.len());
        for (topic, data) in events {
            let (name, data) = (topic.as_ref(), data.as_ref());
            // Often many events in a row have the same topic.
            let topic = match last {
                Some(last) if last.as_str() == name => last,
                _ => self.topic(name)?,
            };
            last = Some(topic);
            if data.len() > limit {
                let bytes = data.len();
                return Err(PublishError::TooLarge { bytes, limit });
            }
            checked.push(NewEvent::new(topic, data));
        }
        Ok(checked)
    }

    fn check_open(&self) -> Result<(), PublishError> {
        if self.is_leaving() {
            return Err(PublishError::ShuttingDown);
        }
        Ok(())
    }

    /// Returns the topic of this name if events may be published on it.
    pub(crate) fn topic<'t>(&self, name: &'t str) -> Result<TopicRef<'t>, PublishError> {
        let topic = parse_topic(name)?;
        if self.topics.admits(topic) {
            return Ok(topic);
        }
        let nearest = self.topics.nearest(name).map(ToString::to_string);
        Err(PublishError::NotDeclared {
            topic: name.to_owned(),
            nearest,
        })
    }

    /// Returns the topics that a publish to a pattern reaches, and one more if there are more than
    /// it may reach.
    pub(crate) async fn topics_matching(
        &self,
        pattern: &Pattern,
        searcher: &Searcher,
    ) -> Result<Vec<Topic>, PublishError> {
        let (limit, turn) = (MATCHING_TOPICS + 1, || searcher.turn());
        let topics = self.log.topics_matching_in_turns(pattern, limit, turn);
        Ok(topics.await?)
    }

    /// Appends events as one step, unless that was done under the key before. The receipt says when
    /// they are stored.
    fn append(
        &self,
        events: &[NewEvent<'_>],
        key: Option<&Key>,
    ) -> Result<(Published, Receipt), PublishError> {
        let key = key.map(|key| {
            let key = Bytes::copy_from_slice(key.as_bytes());
            PublishKey::new(dedup_scope::of_server(), key)
        });
        let mut appender = self.log.appender(self.now());
        if let Some(key) = &key
            && let Known::Taken(taken) = appender.look_up(key, None)
        {
            self.metrics.duplicates.add(1);
            let receipt = taken.map_or(appender.receipt(), |taken| appender.receipt_of(taken.last));
            return Ok((published(taken), receipt));
        }
        appender.ready()?;
        let range = appender.push_all(events)?;
        if let Some(key) = key {
            appender.remember(key, range);
        }
        Ok((published(range), appender.receipt()))
    }
}

/// Parses the name of a topic.
pub(crate) fn parse_topic(name: &str) -> Result<TopicRef<'_>, PublishError> {
    let wrong = |source| PublishError::Topic {
        topic: name.to_owned(),
        source,
    };
    TopicRef::new(name).map_err(wrong)
}

/// Parses the pattern of a publish.
pub(crate) fn parse_pattern(pattern: &str) -> Result<Pattern, PublishError> {
    let wrong = |source| PublishError::Pattern {
        pattern: pattern.to_owned(),
        source,
    };
    Pattern::new(pattern).map_err(wrong)
}

/// Checks that a publish may reach this many topics with this many bytes each.
pub(crate) fn check_reach(topics: usize, bytes: usize) -> Result<(), PublishError> {
    if topics > MATCHING_TOPICS {
        return Err(PublishError::TooManyTopics);
    }
    if topics * bytes > MATCHING_BYTES {
        return Err(PublishError::TooMuch { topics, bytes });
    }
    Ok(())
}

fn published(range: Option<Appended>) -> Published {
    range.map_or_else(Published::default, |Appended { first, last }| {
        Published::new(first, last.seq() - first.seq() + 1)
    })
}
