//! [`Appender`]: the sequencer's critical section.

use std::time::Duration;

use qsse_proto::EventId;

use crate::error::AppendError;
use crate::event::{Appended, NewEvent};
use crate::key::{Known, PublishKey};
use crate::pending::Receipt;
use crate::publisher::PublisherId;
use crate::publishers::Sequence;
use crate::shared::Shared;
use crate::state::State;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;
use crate::time::Now;
use crate::topics::Owner;

/// The locked sequencer: events that are pushed here follow one another without a hole.
///
/// Without a storage readers see an event as soon as it is pushed, and
/// [`Log::visible`](crate::Log::visible) advances when the appender is dropped. With a storage the
/// events are written as a group, and readers see them once they are as safe as
/// [`Acknowledge`](crate::Acknowledge) requires.
///
/// An appender holds a lock, so drop it as soon as everything is pushed.
pub struct Appender<'a> {
    shared: &'a Shared,
    state: MutexGuard<'a, State>,
    now: Now,
    /// What topics had cost before.
    work_before: u64,
    /// For whom new topics are counted, and the most of them.
    owner: Option<(Owner, usize)>,
}

impl<'a> Appender<'a> {
    pub(crate) fn new(shared: &'a Shared, now: Now) -> Self {
        let mut state = shared.state.lock();
        state.read_clock(now);
        Self {
            shared,
            work_before: state.topics.work(),
            state,
            now,
            owner: None,
        }
    }

    /// Counts the topics that are added from now on for this owner, who may have `most`, or else
    /// [`max_topics_per_owner`](crate::Config::max_topics_per_owner). Without an owner only
    /// [`max_topics`](crate::Config::max_topics) counts.
    pub fn set_owner(&mut self, owner: Owner, most: Option<usize>) {
        let most = most.unwrap_or(self.shared.config.max_topics_per_owner);
        self.owner = Some((owner, most));
    }

    /// Checks whether events may be pushed now. Call it once, before the first push.
    ///
    /// # Errors
    /// [`AppendError::Busy`] and [`AppendError::Storage`].
    pub fn ready(&self) -> Result<(), AppendError> {
        if self.shared.storage.is_none() {
            return Ok(());
        }
        self.state.check_storage(&self.shared.config)
    }

    /// Returns how much work it was to add new topics and to find their feeds, since this was made.
    /// An unknown topic counts as 16, and each node of the tree of wildcard patterns that a lookup
    /// visits as one. Events on known topics are no such work.
    ///
    /// Others wait meanwhile, so drop the appender once this exceeds some hundreds, and let others
    /// have their turn.
    pub fn work(&self) -> u64 {
        self.state.topics.work() - self.work_before
    }

    /// Appends one event: to the history and each matching feed, or to what the storage gets next.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`] and [`AppendError::TooManyTopics`]: nothing was appended.
    pub fn push(&mut self, event: NewEvent<'_>) -> Result<EventId, AppendError> {
        self.push_all(&[event])?;
        Ok(EventId::new(self.shared.lineage.current(), self.state.head))
    }

    /// Appends several events, which is cheaper than as many calls of [`push`](Self::push).
    /// Returns `None` if there are none.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`] and [`AppendError::TooManyTopics`]: nothing was appended.
    pub fn push_all(&mut self, events: &[NewEvent<'_>]) -> Result<Option<Appended>, AppendError> {
        self.check_sizes(events)?;
        let topics = &mut self.state.topics;
        topics.admit(events, self.owner, self.shared.config.max_topics)?;
        if self.shared.is_stored_first() {
            // They are shown later, when nobody knows for whom they were counted.
            for event in events {
                topics.resolve(event.topic);
            }
        }
        let (before, time) = (self.state.head, self.state.wall.time());
        self.state.head += events.len() as u64;
        let sequenced = (before + 1..)
            .zip(events)
            .map(|(seq, event)| (event.topic, event.sequenced(seq, time)));
        // Events acknowledged in memory are both shown now and written later.
        if self.shared.storage.is_some() {
            let pending = sequenced.clone();
            pending.for_each(|(_, event)| self.state.pending.push(event));
        }
        if !self.shared.is_stored_first() {
            let (age, config) = (self.now.monotonic, &self.shared.config);
            self.state.show(sequenced, config, age);
        }
        let id = |seq| EventId::new(self.shared.lineage.current(), seq);
        let (first, last) = (id(before + 1), id(self.state.head));
        Ok((!events.is_empty()).then_some(Appended { first, last }))
    }

    fn check_sizes(&self, events: &[NewEvent<'_>]) -> Result<(), AppendError> {
        let limit = self.shared.config.max_event_bytes;
        match events.iter().find(|event| event.data.len() > limit) {
            Some(event) => {
                let bytes = event.data.len();
                Err(AppendError::TooLarge { bytes, limit })
            }
            None => Ok(()),
        }
    }

    /// Returns the receipt of everything that was pushed so far.
    pub fn receipt(&self) -> Receipt {
        if self.shared.is_stored_first() && !self.state.pending.is_empty() {
            self.state.pending.receipt()
        } else {
            Receipt::DONE
        }
    }

    /// Returns the receipt of an event that was pushed earlier.
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
            Some(group) if self.shared.is_stored_first() => group.receipt(),
            _ => Receipt::DONE,
        }
    }
}

/// Publishes with a key.
impl Appender<'_> {
    /// Looks up whether a publish with this key was taken before. `ago` is the time since its
    /// first attempt, if this is a retry.
    ///
    /// After [`Known::New`], push its events and then [`remember`](Self::remember) it.
    pub fn look_up(&self, key: &PublishKey, ago: Option<Duration>) -> Known {
        self.known(key, ago, false)
    }

    /// Looks up a publish to all topics of a pattern, as [`look_up`](Self::look_up) does. The log
    /// does not know those from before a restart.
    pub fn look_up_matching(&self, key: &PublishKey, ago: Option<Duration>) -> Known {
        self.known(key, ago, true)
    }

    fn known(&self, key: &PublishKey, ago: Option<Duration>, many: bool) -> Known {
        let lineage = &self.shared.lineage;
        let (now, epoch) = (self.now.monotonic, lineage.current());
        let known = self.state.dedup.look_up(key, ago, many, now, epoch);
        match known {
            // The events may be from before this start, and then have an earlier epoch.
            Known::Taken(Some(taken)) => Known::Taken(Some(Appended {
                first: lineage.id(taken.first.seq()),
                last: lineage.id(taken.last.seq()),
            })),
            known => known,
        }
    }

    /// Remembers the events of a publish under its key.
    pub fn remember(&mut self, key: PublishKey, taken: Option<Appended>) {
        let now = self.now.monotonic;
        let config = &self.shared.config;
        self.state.dedup.insert(&key, taken, now, config);
        if let Some(Appended { first, last }) = taken {
            // The storage has one event for each key, so a publish to many topics is known only
            // to this process.
            let stored = first == last;
            self.state.pending.key(last.seq(), key, stored);
        }
    }
}

/// Publishes with numbers.
impl Appender<'_> {
    /// Begins a turn of a publisher that numbers its publishes. A publisher has one turn at a time.
    pub fn sequence(&self, id: PublisherId) -> Sequence {
        self.state.publishers.sequence(id)
    }

    /// Looks up whether the publish with this number was taken before. `ago` is an upper bound of
    /// the time since its first attempt, if this may be a retry.
    ///
    /// After [`Known::New`], push its events and then [push](Sequence::push) it to the sequence.
    pub fn judge(&self, sequence: &Sequence, number: u64, ago: Option<Duration>) -> Known {
        let (now, lineage) = (self.now.monotonic, &self.shared.lineage);
        let publishers = &self.state.publishers;
        publishers.judge(sequence, number, ago, now, lineage)
    }

    /// Ends the turn of a publisher: its publishes are known from now on.
    pub fn conclude(&mut self, sequence: &Sequence) {
        let now = self.now.monotonic;
        let config = &self.shared.config;
        self.state.publishers.conclude(sequence, now, config);
        self.state.pending.sequence(sequence);
    }

    /// Returns the receipt of everything that any publisher has pushed so far.
    pub fn receipt_of_all(&self) -> Receipt {
        match &self.state.writing {
            Some(writing) if self.shared.is_stored_first() && self.state.pending.is_empty() => {
                writing.receipt()
            }
            _ => self.receipt(),
        }
    }
}

impl Drop for Appender<'_> {
    fn drop(&mut self) {
        if !self.shared.is_stored_first() {
            let head = self.state.head;
            self.shared.visible.store(head, Ordering::Release);
        }
        if !self.state.pending.is_empty() {
            self.shared.appended.notify_one();
        }
    }
}
