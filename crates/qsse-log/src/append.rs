//! Appending: the sequencer's critical section.

use std::time::Duration;

use qsse_proto::{Counted, EventId, Kind, Timestamp};
use qsse_topic::TopicRef;

use crate::config::Config;
use crate::dedup::{Key, Known};
use crate::feed::Incoming;
use crate::history::Record;
use crate::log::{Log, State};
use crate::pending::Receipt;
use crate::publishers::{PublisherKey, Sequence};
use crate::storage::{Acknowledge, StorageError};
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;
use crate::time::Now;
use crate::topics::TopicId;

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

    fn incoming(&self, seq: u64, time: Timestamp) -> Incoming<'a> {
        Incoming {
            seq,
            time,
            topic: self.topic.as_str(),
            kind: self.kind,
            data: self.data,
        }
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
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Its data is longer than [`max_event_bytes`](crate::Config::max_event_bytes).
    #[error(
        "an event of {} is over the limit of {}: split it or raise the server's limit",
        Counted(*bytes, "byte"),
        Counted(*limit, "byte")
    )]
    TooLarge {
        /// Length of the data.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The storage has not kept up: wait for [`Log::room`](crate::Log::room), or publish more slowly.
    #[error("the store has {} still to write: publish more slowly, or wait", Counted(*bytes, "byte"))]
    Busy {
        /// How much there is.
        bytes: usize,
    },
    /// The storage takes nothing.
    #[error(transparent)]
    Storage(StorageError),
}

/// The sequencer, held: events pushed here follow one another without a hole.
///
/// Without a storage, readers see them from the moment they are pushed, and [`Log::visible`](crate::Log::visible) moves when it is
/// dropped. With one, it gets them as a group, and readers see them when they are as safe as [`Acknowledge`] says.
/// Hold it only for as long as the pushing takes: it is a lock.
pub struct Appender<'a> {
    log: &'a Log,
    state: MutexGuard<'a, State>,
    now: Now,
    budget: usize,
}

impl<'a> Appender<'a> {
    pub(crate) fn new(log: &'a Log, mut state: MutexGuard<'a, State>, now: Now) -> Self {
        state.read_clock(now);
        let budget = state.feeds.budget(log.config());
        Self {
            log,
            state,
            now,
            budget,
        }
    }

    /// Whether events may be pushed now; to be asked once, before the first.
    ///
    /// # Errors
    /// [`AppendError::Busy`] and [`AppendError::Storage`].
    pub fn ready(&self) -> Result<(), AppendError> {
        if self.log.storage().is_none() {
            return Ok(());
        }
        self.state.may_store(self.log.config())
    }

    /// Appends one event: to the history and every feed that matches, or with a storage to what it gets next.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`]; nothing was appended then.
    pub fn push(&mut self, event: NewEvent<'_>) -> Result<EventId, AppendError> {
        self.push_all(&[event])?;
        Ok(EventId::new(self.log.epoch(), self.state.head))
    }

    /// Appends events one after the other, which costs less than as many calls. `None` when there are none.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`]; nothing was appended then.
    pub fn push_all(&mut self, events: &[NewEvent<'_>]) -> Result<Option<Appended>, AppendError> {
        let config = self.log.config();
        let limit = config.max_event_bytes;
        if let Some(event) = events.iter().find(|event| event.data.len() > limit) {
            let bytes = event.data.len();
            return Err(AppendError::TooLarge { bytes, limit });
        }
        let (before, time) = (self.state.head, self.state.wall.time());
        self.state.head += events.len() as u64;
        let incoming = (before + 1..)
            .zip(events)
            .map(|(seq, event)| (event.topic, event.incoming(seq, time)));
        if self.log.storage().is_some() {
            let pending = incoming.clone();
            pending.for_each(|(_, event)| self.state.pending.push(event));
        }
        if !self.log.is_stored_first() {
            let (age, budget) = (self.now.monotonic, self.budget);
            self.state.commit(incoming, config, age, budget);
        }
        let id = |seq| EventId::new(self.log.epoch(), seq);
        let (first, last) = (id(before + 1), id(self.state.head));
        Ok((!events.is_empty()).then_some(Appended { first, last }))
    }

    /// The promise that everything pushed so far is kept.
    pub fn receipt(&self) -> Receipt {
        if self.log.is_stored_first() && !self.state.pending.is_empty() {
            self.state.pending.receipt()
        } else {
            Receipt::KEPT
        }
    }

    /// The promise that an event pushed earlier is kept.
    pub fn receipt_of(&self, id: EventId) -> Receipt {
        let groups = [
            Some(self.state.pending.group()),
            self.state.writing.as_ref(),
        ];
        let group = groups
            .into_iter()
            .flatten()
            .find(|group| group.holds(id.seq()));
        match group {
            Some(group) if self.log.is_stored_first() => group.receipt(),
            _ => Receipt::KEPT,
        }
    }
}

/// Publishes with a key.
impl Appender<'_> {
    /// Whether a publish was taken before under this key. `ago` is when it was first tried, if this is not the first time.
    ///
    /// After [`Known::New`], push its events and then [`remember`](Self::remember) it.
    pub fn look_up(&self, key: &Key, ago: Option<Duration>) -> Known {
        self.known(key, ago, false)
    }

    /// As [`look_up`](Self::look_up), of a publish to all topics of a pattern: after a restart those are not known any more.
    pub fn look_up_matching(&self, key: &Key, ago: Option<Duration>) -> Known {
        self.known(key, ago, true)
    }

    fn known(&self, key: &Key, ago: Option<Duration>, many: bool) -> Known {
        let (now, epoch) = (self.now.monotonic, self.log.epoch());
        let known = self.state.dedup.look_up(key, ago, many, now, epoch);
        let lineage = self.log.lineage();
        match known {
            // It may have been taken before this start.
            Known::Taken(Some(taken)) => Known::Taken(Some(Appended {
                first: lineage.id(taken.first.seq()),
                last: lineage.id(taken.last.seq()),
            })),
            known => known,
        }
    }

    /// Notes the events of a publish under its key.
    pub fn remember(&mut self, key: Key, taken: Option<Appended>) {
        let now = self.now.monotonic;
        self.state.dedup.insert(&key, taken, now, self.log.config());
        if let Some(Appended { first, last }) = taken {
            // Of a publish to many topics only this process knows all of it.
            let stored = first == last;
            self.state.pending.key(last.seq(), key, stored);
        }
    }
}

/// Publishes with numbers.
impl Appender<'_> {
    /// Begins a turn of a publisher that numbers what it publishes. There may be one turn of each at a time.
    pub fn sequence(&self, key: PublisherKey) -> Sequence {
        self.state.publishers.sequence(key)
    }

    /// Whether the publish of this number was taken before. `ago` is how long ago it was first tried, at most, if it was perhaps tried before.
    ///
    /// After [`Known::New`], push its events and then [push](Sequence::push) it to the sequence.
    pub fn judge(&self, sequence: &Sequence, number: u64, ago: Option<Duration>) -> Known {
        let (now, lineage) = (self.now.monotonic, self.log.lineage());
        let publishers = &self.state.publishers;
        publishers.judge(sequence, number, ago, now, lineage)
    }

    /// Ends the turn of a publisher: from now on what was taken in it is known.
    pub fn conclude(&mut self, sequence: &Sequence) {
        let now = self.now.monotonic;
        let config = self.log.config();
        self.state.publishers.conclude(sequence, now, config);
        self.state.pending.sequence(sequence);
    }

    /// The promise that everything is kept that was taken before or in this turn, of whomever.
    pub fn receipt_of_all(&self) -> Receipt {
        match &self.state.writing {
            Some(writing) if self.log.is_stored_first() && self.state.pending.is_empty() => {
                writing.receipt()
            }
            _ => self.receipt(),
        }
    }
}

/// Most events that are pushed in one go.
const TURN: u64 = 4_096;

impl State {
    /// Whether the storage may be given more.
    fn may_store(&self, config: &Config) -> Result<(), AppendError> {
        // Why it ended says more than that it was closed then.
        if self.closed && self.end().is_none() {
            return Err(AppendError::Storage(StorageError::ended(
                "the log is closed",
            )));
        }
        if let Some(error) = &self.refusing {
            return Err(AppendError::Storage(error.clone()));
        }
        if !self.has_room(config) {
            let bytes = self.pending.bytes();
            return Err(AppendError::Busy { bytes });
        }
        Ok(())
    }

    /// Whether the storage keeps up, and the seqs of a turn may be told where they are told before they are written.
    pub(crate) fn has_room(&self, config: &Config) -> bool {
        let told = config.acknowledge == Acknowledge::Memory;
        let unreserved = told && self.head + TURN > self.reserved;
        self.pending.bytes() < config.pending_bytes && !unreserved
    }

    /// Shows events to readers: they go to the history and to every feed that matches.
    pub(crate) fn commit<'e>(
        &mut self,
        events: impl Iterator<Item = (TopicRef<'e>, Incoming<'e>)>,
        config: &Config,
        age: Duration,
        budget: usize,
    ) {
        let Self {
            topics,
            feeds,
            history,
            ..
        } = self;
        let mut writer = feeds.writer(budget);
        let mut last: Option<(&str, TopicId)> = None;
        for (topic, event) in events {
            // Many come on one topic in a row, and name it by the same text.
            let id = match last {
                Some((name, id)) if std::ptr::eq(name, topic.as_str()) => id,
                _ => topics.resolve(topic),
            };
            last = Some((topic.as_str(), id));
            topics.count(id);
            let (routes, generation) = feeds.routes();
            for slot in topics.routes(id, routes, generation) {
                writer.append(*slot, event);
            }
            let grew = history.append(Record::of(event, id, age), topics);
            if grew {
                history.trim(config, age, topics);
            }
            if let Some(rule) = topics.rule(id) {
                history.trim_topic(id, &config.retention[rule], age, topics);
            }
        }
        history.trim(config, age, topics);
    }
}

impl Drop for Appender<'_> {
    fn drop(&mut self) {
        let shared = self.log.shared();
        if !self.log.is_stored_first() {
            shared.visible.store(self.state.head, Ordering::Release);
        }
        if !self.state.pending.is_empty() {
            shared.appended.notify_one();
        }
    }
}
