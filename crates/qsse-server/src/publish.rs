//! Publishing from the server's own process.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use bytes::Bytes;
use qsse_log::{Appended, Known, NewEvent, Receipt};
use qsse_proto::limits::MATCHING_TOPICS;
use qsse_proto::publish::{Key, KeyError};
use qsse_proto::{EventId, Kind};
use qsse_topic::{Pattern, Topic, TopicRef};

use crate::dedup_scope;
use crate::shared::Shared;

mod error;

pub use error::PublishError;

/// Most bytes that one publish to a pattern may be in all: it is one step, and holds up whoever comes behind it.
const MATCHING_BYTES: usize = 64 << 20;

/// The events that one publish to a pattern, or of several events, made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The first and the last event; `None` when no topic matched.
    pub range: Option<(EventId, EventId)>,
    /// How many events.
    pub count: u64,
}

/// An event about to be published; await it for its id.
///
/// Dropped before it was polled, it publishes nothing; dropped later, the event may be published all the same. A [key](Self::key) makes
/// it safe to try again. An error of the store that is [final](qsse_log::StorageError::is_final) leaves it in doubt too: what was written may be
/// there when the store is opened anew.
#[must_use = "an event is published when this is awaited"]
pub struct Publish<'a> {
    shared: &'a Shared,
    topic: String,
    kind: Kind,
    key: Option<Result<Key, KeyError>>,
    at_once: bool,
    data: Bytes,
}

impl<'a> Publish<'a> {
    pub(crate) fn new(shared: &'a Shared, topic: &str, data: &[u8]) -> Self {
        let (topic, data) = (topic.to_owned(), Bytes::copy_from_slice(data));
        Self {
            shared,
            topic,
            kind: Kind::MESSAGE,
            key: None,
            at_once: false,
            data,
        }
    }

    /// Sets what the event is; `message` otherwise.
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Publishes under a key of 1 to 64 bytes: of several publishes with the same key only the first makes an event, and the others get
    /// its id, whatever their topic, kind and data are.
    ///
    /// A key is known for [`dedup_window`](crate::LogConfig::dedup_window), unless [`dedup_keys`](crate::LogConfig::dedup_keys) others come
    /// sooner. Keys of the server's own process and those of clients have nothing to do with each other.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(Key::new(Bytes::copy_from_slice(key.as_ref())));
        self
    }

    /// Fails with [`PublishError::Busy`] where the store is behind, instead of waiting for room.
    pub fn or_busy(mut self) -> Self {
        self.at_once = true;
        self
    }
}

impl Shared {
    /// Appends an event to the log, for one who does not wait.
    pub(crate) fn try_publish(
        &self,
        topic: &str,
        kind: &Kind,
        data: &[u8],
    ) -> Result<EventId, PublishError> {
        self.open_to_publishers()?;
        if self.log.is_stored_first() {
            return Err(PublishError::NeedsAwait);
        }
        let event = NewEvent::new(self.topic(topic)?, data).kind(kind);
        Ok(self.log.append(self.now(), event)?)
    }

    /// Appends an event to the log, unless one was appended under the key, and the promise that it is kept.
    fn publish(
        &self,
        topic: &str,
        kind: &Kind,
        data: &[u8],
        key: Option<&Key>,
    ) -> Result<(EventId, Receipt), PublishError> {
        self.open_to_publishers()?;
        let event = NewEvent::new(self.topic(topic)?, data).kind(kind);
        let key = key.map(|key| {
            let key = Bytes::copy_from_slice(key.as_bytes());
            qsse_log::PublishKey::new(dedup_scope::of_server(), key)
        });
        let mut appender = self.log.appender(self.now());
        if let Some(key) = &key
            && let Known::Taken(Some(taken)) = appender.look_up(key, None)
        {
            self.metrics.duplicates.add(1);
            return Ok((taken.last, appender.receipt_of(taken.last)));
        }
        appender.ready()?;
        let id = appender.push(event)?;
        if let Some(key) = key {
            let (first, last) = (id, id);
            appender.remember(key, Some(Appended { first, last }));
        }
        Ok((id, appender.receipt()))
    }

    /// Appends several events as one step, for one who does not wait.
    pub(crate) fn try_publish_all<T: AsRef<str>, D: AsRef<[u8]>>(
        &self,
        events: &[(T, D)],
    ) -> Result<Published, PublishError> {
        if self.log.is_stored_first() {
            return Err(PublishError::NeedsAwait);
        }
        self.open_to_publishers()?;
        let events = self.checked(events)?;
        Ok(self.append_all(&events)?.0)
    }

    /// Appends several events as one step.
    pub(crate) async fn publish_all<T: AsRef<str>, D: AsRef<[u8]>>(
        &self,
        events: &[(T, D)],
    ) -> Result<Published, PublishError> {
        self.open_to_publishers()?;
        let events = self.checked(events)?;
        let (published, receipt) = loop {
            match self.append_all(&events) {
                Err(PublishError::Busy { .. }) => self.log.room().await,
                appended => break appended?,
            }
        };
        receipt.stored().await?;
        Ok(published)
    }

    /// These as events, if all of them may be published.
    fn checked<'e, T: AsRef<str>, D: AsRef<[u8]>>(
        &self,
        events: &'e [(T, D)],
    ) -> Result<Vec<NewEvent<'e>>, PublishError> {
        let limit = self.config.log.max_event_bytes;
        let mut last: Option<TopicRef<'e>> = None;
        // Results collected would not tell how many they are, and move again and again.
        let mut checked = Vec::with_capacity(events.len());
        for (topic, data) in events {
            let (name, data) = (topic.as_ref(), data.as_ref());
            // Many come on one topic in a row.
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

    /// Appends one event on each topic that a pattern matches.
    pub(crate) async fn publish_matching(
        &self,
        pattern: &str,
        kind: &Kind,
        data: &[u8],
    ) -> Result<Published, PublishError> {
        self.open_to_publishers()?;
        let topics = self.topics_matching(pattern, data.len())?;
        let (published, receipt) = loop {
            match self.append_each(&topics, kind, data) {
                Err(PublishError::Busy { .. }) => self.log.room().await,
                appended => break appended?,
            }
        };
        receipt.stored().await?;
        Ok(published)
    }

    fn open_to_publishers(&self) -> Result<(), PublishError> {
        if self.is_leaving() {
            return Err(PublishError::ShuttingDown);
        }
        Ok(())
    }

    /// The topic of this name, if events may be published on it.
    pub(crate) fn topic<'t>(&self, name: &'t str) -> Result<TopicRef<'t>, PublishError> {
        let wrong = |source| PublishError::Topic {
            topic: name.to_owned(),
            source,
        };
        let topic = TopicRef::new(name).map_err(wrong)?;
        if self.topics.admits(topic) {
            return Ok(topic);
        }
        let nearest = self.topics.nearest(name).map(ToString::to_string);
        Err(PublishError::NotDeclared {
            topic: name.to_owned(),
            nearest,
        })
    }

    /// The topics that a publish to a pattern reaches.
    pub(crate) fn topics_matching(
        &self,
        pattern: &str,
        bytes: usize,
    ) -> Result<Vec<Topic>, PublishError> {
        let wrong = |source| PublishError::Pattern {
            pattern: pattern.to_owned(),
            source,
        };
        let topics = self
            .log
            .topics_matching(&Pattern::new(pattern).map_err(wrong)?)?;
        match topics.len() {
            reached @ ..=MATCHING_TOPICS if reached * bytes > MATCHING_BYTES => {
                let topics = reached;
                Err(PublishError::TooMuch { topics, bytes })
            }
            ..=MATCHING_TOPICS => Ok(topics),
            topics => Err(PublishError::TooManyTopics { topics }),
        }
    }

    /// One event on each topic, as one step.
    fn append_each<'t>(
        &self,
        topics: &'t [Topic],
        kind: &'t Kind,
        data: &'t [u8],
    ) -> Result<(Published, Receipt), PublishError> {
        // All have the same length: the first is refused, or none.
        let event = |topic: &'t Topic| NewEvent::new(topic.as_topic_ref(), data).kind(kind);
        let events: Vec<_> = topics.iter().map(event).collect();
        self.append_all(&events)
    }

    /// These events as one step.
    fn append_all(&self, events: &[NewEvent<'_>]) -> Result<(Published, Receipt), PublishError> {
        let mut appender = self.log.appender(self.now());
        appender.ready()?;
        let range = appender.push_all(events)?;
        let range = range.map(|Appended { first, last }| (first, last));
        let count = events.len() as u64;
        Ok((Published { range, count }, appender.receipt()))
    }
}

impl<'a> IntoFuture for Publish<'a> {
    type Output = Result<EventId, PublishError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (topic, kind, data) = (&self.topic, &self.kind, &self.data);
            let key = self.key.transpose()?;
            let (id, receipt) = loop {
                match self.shared.publish(topic, kind, data, key.as_ref()) {
                    Err(PublishError::Busy { .. }) if !self.at_once => {
                        self.shared.log.room().await;
                    }
                    published => break published?,
                }
            };
            receipt.stored().await?;
            // A tight loop of publishes gives the tasks that deliver their turn.
            tokio::task::consume_budget().await;
            Ok(id)
        })
    }
}
