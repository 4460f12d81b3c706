//! Appending: the sequencer's critical section.

use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::MutexGuard;
use qsse_proto::{EventId, Kind};
use qsse_topic::TopicRef;

use crate::dedup::{Key, Known};
use crate::feed::Incoming;
use crate::history::Record;
use crate::log::{Log, State};
use crate::time::Now;

/// An event that has no id yet.
#[derive(Clone, Copy, Debug)]
pub struct NewEvent<'a> {
    topic: TopicRef<'a>,
    kind: &'a str,
    data: &'a [u8],
}

impl<'a> NewEvent<'a> {
    /// An event of the default kind, `message`.
    pub fn new(topic: TopicRef<'a>, data: &'a [u8]) -> Self {
        Self {
            topic,
            kind: Kind::MESSAGE.as_str(),
            data,
        }
    }

    /// Sets the kind.
    #[must_use]
    pub fn kind(mut self, kind: &'a Kind) -> Self {
        self.kind = kind.as_str();
        self
    }
}

/// The events that one append made: `first ..= last`, without a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The id of the first event.
    pub first: EventId,
    /// The id of the last event.
    pub last: EventId,
}

/// Why an event was not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Its data is longer than [`max_event_bytes`](crate::Config::max_event_bytes).
    #[error(
        "an event of {bytes} bytes is over the limit of {limit} bytes: split it or raise the server's limit"
    )]
    TooLarge {
        /// Length of the data.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

/// The sequencer, held: events pushed here follow one another without a hole.
///
/// Readers see them from the moment they are pushed; [`Log::visible`](crate::Log::visible) moves when it is dropped.
/// Hold it only for as long as the pushing takes: it is a lock.
pub struct Appender<'a> {
    log: &'a Log,
    state: MutexGuard<'a, State>,
    now: Now,
    budget: usize,
}

impl<'a> Appender<'a> {
    pub(crate) fn new(log: &'a Log, mut state: MutexGuard<'a, State>, now: Now) -> Self {
        state.last_time = state.last_time.max(now.wall);
        let budget = state.feeds.budget(log.config());
        Self {
            log,
            state,
            now,
            budget,
        }
    }

    /// Appends one event to the history and to every feed that matches.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`]; nothing was appended then.
    pub fn push(&mut self, event: NewEvent<'_>) -> Result<EventId, AppendError> {
        let NewEvent { topic, kind, data } = event;
        let config = self.log.config();
        if data.len() > config.max_event_bytes {
            let (bytes, limit) = (data.len(), config.max_event_bytes);
            return Err(AppendError::TooLarge { bytes, limit });
        }
        let State {
            topics,
            feeds,
            history,
            head,
            last_time,
            ..
        } = &mut *self.state;
        *head += 1;
        let (seq, time) = (*head, *last_time);
        let id = topics.resolve(topic);
        topics.count(id);
        let (routes, generation) = feeds.routes();
        let incoming = Incoming {
            seq,
            time,
            topic: topic.as_str(),
            kind,
            data,
        };
        for slot in topics.routes(id, routes, generation) {
            feeds.get(*slot).append(incoming, self.budget);
        }
        let age = self.now.monotonic;
        history.append(
            Record {
                seq,
                time,
                age,
                topic: id,
                kind,
                data,
            },
            topics,
        );
        history.trim(config, age, topics);
        if let Some(rule) = topics.rule(id) {
            history.trim_topic(id, &config.retention[rule], age, topics);
        }
        Ok(EventId::new(self.log.epoch(), seq))
    }
}

/// Publishes with a key.
impl Appender<'_> {
    /// Whether a publish was taken before under this key. `ago` is when it was first tried, if this is not the first time.
    ///
    /// After [`Known::New`], push its events and then [`remember`](Self::remember) it.
    pub fn look_up(&self, key: &Key, ago: Option<Duration>) -> Known {
        self.state.dedup.look_up(key, ago, self.now.monotonic)
    }

    /// Notes the events of a publish under its key.
    pub fn remember(&mut self, key: Key, taken: Option<Appended>) {
        let now = self.now.monotonic;
        self.state.dedup.insert(key, taken, now, self.log.config());
    }
}

impl Drop for Appender<'_> {
    fn drop(&mut self) {
        self.log
            .shared()
            .visible
            .store(self.state.head, Ordering::Release);
    }
}
