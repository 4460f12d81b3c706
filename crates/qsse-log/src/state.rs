//! [`State`]: all that the sequencer's critical section covers.

use std::time::Duration;

use qsse_topic::{Topic, TopicRef};

use crate::batches::Batches;
use crate::budget::{Budget, Charge};
use crate::config::{Acknowledge, Config};
use crate::dedup::Dedup;
use crate::error::AppendError;
use crate::event::Incoming;
use crate::feeds::Feeds;
use crate::history::{History, Record};
use crate::pending::{Group, Pending};
use crate::publishers::Publishers;
use crate::storage::{Recovered, StorageError};
use crate::time::{Now, Wall};
use crate::topics::{TopicId, Topics};

/// [`State::stalled`] is set when the storage has owed an answer for this long.
const STALLED: Duration = Duration::from_secs(10);

/// The topics and feeds that one part of a sweep looks at, which takes less than a millisecond.
const SWEPT: u32 = 512;

/// The most events that are pushed at once. As many seqs have to be reserved beforehand.
const MAX_PUSHED_AT_ONCE: u64 = 4_096;

/// All that the sequencer's critical section covers.
pub(crate) struct State {
    /// The last assigned seq.
    pub(crate) head: u64,
    /// The wall clock, and the time of events.
    pub(crate) wall: Wall,
    pub(crate) topics: Topics,
    pub(crate) history: History,
    pub(crate) feeds: Feeds,
    pub(crate) dedup: Dedup,
    pub(crate) publishers: Publishers,
    /// The events that the storage gets next.
    pub(crate) pending: Pending,
    /// The group that the storage is writing.
    pub(crate) writing: Option<Group>,
    /// Seqs up to here may be acknowledged before they are written.
    pub(crate) reserved: u64,
    /// Floors that the storage has raised above what memory has seen so far.
    pub(crate) raised: Vec<(Topic, u64)>,
    /// Why appends are refused, while they are.
    pub(crate) refusing: Option<StorageError>,
    /// The oldest event that the storage had not written at the last sweep, and since when.
    waiting: Option<(u64, Duration)>,
    /// When the unanswered calls of the storage began.
    pub(crate) unanswered: Unanswered,
    /// How long the storage has not answered, if that was too long at the last sweep.
    pub(crate) stalled: Option<Duration>,
    /// Whether the log is closed: nothing may be appended.
    pub(crate) closed: bool,
    /// Everything that is counted.
    pub(crate) budget: Budget,
    pub(crate) batches: Batches,
    /// The history and the feeds without batches, the table of topics, filters, and what waits to be
    /// stored.
    charge: Charge,
    /// Bytes of history that were released since [`shed`](Self::shed) was called last.
    trimmed: usize,
}

/// What a log has released because memory was scarce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shed {
    /// Bytes of feeds without readers, and of cached reads.
    pub feed_bytes: usize,
    /// Bytes of the oldest events in the history.
    pub history_bytes: usize,
}

/// When each unanswered call of the storage began, apart from the group that is being written.
#[derive(Default)]
pub(crate) struct Unanswered {
    pub(crate) reserve: Option<Duration>,
    pub(crate) retain: Option<Duration>,
}

impl State {
    /// Creates the state of an empty log.
    pub(crate) fn new(topics: Topics, config: &Config) -> Self {
        let budget = Budget::new(config.memory_bytes.unwrap_or(usize::MAX));
        let batches = Batches::within(&budget);
        Self {
            head: 0,
            wall: Wall::default(),
            topics,
            history: History::new(config, batches.clone()),
            feeds: Feeds::new(batches.clone()),
            dedup: Dedup::default(),
            publishers: Publishers::default(),
            pending: Pending::default(),
            writing: None,
            reserved: 0,
            raised: Vec::new(),
            refusing: None,
            waiting: None,
            unanswered: Unanswered::default(),
            stalled: None,
            closed: false,
            charge: budget.charge(0),
            trimmed: 0,
            budget,
            batches,
        }
    }

    /// Creates the state of a log that continues after the events of a storage.
    pub(crate) fn recover(recovered: &Recovered, config: &Config, now: Now) -> Self {
        let mut state = Self::new(Topics::new(&[]), config);
        state.head = recovered.head;
        state.reserved = recovered.reserved;
        state.wall = Wall::after(recovered.last_time);
        state.history.begin_after(recovered.head, recovered.latest);
        state.read_clock(now);
        let lost = !recovered.clean && config.acknowledge == Acknowledge::Memory;
        state.dedup.recover(recovered, now, lost);
        state.publishers.recover(recovered, now, lost);
        state
    }

    /// Takes a reading of the wall clock.
    pub(crate) fn read_clock(&mut self, now: Now) {
        self.wall.read(now.wall);
        self.history.believe(self.wall.latest());
    }

    /// Makes events visible to readers: adds them to the history and to each matching feed.
    pub(crate) fn show<'e>(
        &mut self,
        events: impl Iterator<Item = (TopicRef<'e>, Incoming<'e>)>,
        config: &Config,
        age: Duration,
    ) {
        self.feeds.relieve(config);
        let Self {
            topics,
            feeds,
            history,
            batches,
            ..
        } = self;
        let mut writer = feeds.writer(config);
        let mut last: Option<(&str, TopicId)> = None;
        for (topic, event) in events {
            // Events on one topic often come in a row and share the text of its name.
            let id = match last {
                Some((name, id)) if std::ptr::eq(name, topic.as_str()) => id,
                _ => topics.resolve(topic),
            };
            last = Some((topic.as_str(), id));
            topics.count(id);
            let (routes, generation) = feeds.routes();
            let large = event.large().map(|batch| batches.hold_large(batch));
            for slot in topics.routes(id, routes, generation) {
                writer.append(*slot, event, large.as_ref());
            }
            let record = Record::of(event, large.as_ref(), id, age);
            let grew = history.append(record, topics);
            if grew {
                history.trim(config, age, topics);
            }
            if let Some(rule) = topics.rule(id) {
                history.trim_topic(id, &config.retention[rule], age, topics);
            }
        }
        history.trim(config, age, topics);
        drop(writer);
        self.count();
    }

    /// Counts what this holds. The history gives way where there would be too much.
    fn count(&mut self) {
        self.resize_charge();
        let over = self.budget.used().saturating_sub(self.budget.limit());
        if over > 0 {
            self.trimmed += self.trim_history(over);
        }
    }

    /// Releases about `bytes` bytes of the oldest history. Returns how many it were.
    #[cold]
    fn trim_history(&mut self, bytes: usize) -> usize {
        let (before, topics) = (self.history.bytes(), &mut self.topics);
        let most = (before + topics.index_bytes()).saturating_sub(bytes);
        self.history.shrink_to(most, topics);
        self.resize_charge();
        before - self.history.bytes()
    }

    fn resize_charge(&mut self) {
        let history = self.history.bytes() - self.history.large_bytes() + self.topics.all_bytes();
        let feeds = self.feeds.filter_bytes() + self.feeds.bytes_beside_batches();
        self.charge.resize(history + feeds + self.pending.bytes());
    }

    /// Checks whether events may be appended for the storage.
    ///
    /// # Errors
    /// Why they may not.
    pub(crate) fn check_storage(&self, config: &Config) -> Result<(), AppendError> {
        // The reason why the storage ended says more than that the log was closed afterwards.
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

    /// Returns whether the storage keeps up, and enough seqs are reserved if they are acknowledged
    /// before they are written.
    pub(crate) fn has_room(&self, config: &Config) -> bool {
        let at_once = config.acknowledge == Acknowledge::Memory;
        let unreserved = at_once && self.head + MAX_PUSHED_AT_ONCE > self.reserved;
        self.pending.bytes() < config.pending_bytes && !unreserved
    }

    /// Returns why the storage has ended, if it has.
    pub(crate) fn end(&self) -> Option<&StorageError> {
        self.refusing.as_ref().filter(|error| error.is_final())
    }

    /// Accepts appends again, unless the storage has ended.
    pub(crate) fn accept_again(&mut self) {
        self.refusing.take_if(|error| !error.is_final());
    }

    /// Removes what has expired and monitors the storage, see [`Log::sweep`](crate::Log::sweep).
    /// [`sweep_part`](Self::sweep_part) does the rest.
    ///
    /// Returns how far the clock was set back since the last call, if that was too far.
    pub(crate) fn sweep(&mut self, now: Now, config: &Config) -> Option<Duration> {
        self.watch_storage(now.monotonic);
        self.read_clock(now);
        let Self {
            topics,
            history,
            dedup,
            publishers,
            ..
        } = self;
        history.trim(config, now.monotonic, topics);
        dedup.trim(now.monotonic, config);
        publishers.trim(now.monotonic, config);
        self.count();
        self.wall.take_set_back()
    }

    /// Releases about `bytes` bytes, see [`Log::shed`](crate::Log::shed).
    pub(crate) fn shed(&mut self, bytes: usize) -> Shed {
        let feeds = self.feeds.bytes();
        let target = self.budget.used().saturating_sub(bytes);
        self.feeds.shed();
        let more = self.budget.used().saturating_sub(target);
        if more > 0 {
            self.trimmed += self.trim_history(more);
        }
        Shed {
            feed_bytes: feeds.saturating_sub(self.feeds.bytes()),
            history_bytes: std::mem::take(&mut self.trimmed),
        }
    }

    /// Removes what has expired of some topics and feeds, from slot `from` on. Returns the slot at
    /// which the next part begins; `None` after the last one.
    pub(crate) fn sweep_part(&mut self, now: Now, config: &Config, from: u32) -> Option<u32> {
        let (topics, history) = (&mut self.topics, &mut self.history);
        if history.expire(config, now.monotonic, topics) {
            return Some(from);
        }
        for id in topics.ruled(from, SWEPT) {
            if let Some(rule) = topics.rule(id) {
                history.trim_topic(id, &config.retention[rule], now.monotonic, topics);
            }
        }
        let (_, generation) = self.feeds.routes();
        let topics_done = topics.tend(from, SWEPT, generation);
        let feeds_done = self.feeds.sweep(from, SWEPT, now.monotonic, config);
        (!(topics_done && feeds_done)).then(|| from.saturating_add(SWEPT))
    }

    /// Notes how long the storage has owed an answer for the same event or call.
    fn watch_storage(&mut self, now: Duration) {
        let pending = (!self.pending.is_empty()).then(|| self.pending.group());
        let oldest = self.writing.as_ref().or(pending).map(Group::first);
        let since = |first| match self.waiting {
            Some((same, since)) if same == first => since,
            _ => now,
        };
        self.waiting = oldest.map(|first| (first, since(first)));
        let event = self.waiting.map(|(_, since)| since);
        let since = [event, self.unanswered.reserve, self.unanswered.retain];
        let longest = since.into_iter().flatten().min();
        let waited = longest.map(|since| now.saturating_sub(since));
        self.stalled = waited.filter(|waited| *waited >= STALLED);
    }

    /// Raises the floors of topics to those of the storage, so that memory serves nothing below.
    ///
    /// Events up to `visible` are in memory. Later ones may come below a floor, because the
    /// storage has them first: the next call removes those.
    pub(crate) fn raise_floors(&mut self, floors: Vec<(Topic, u64)>, visible: u64) {
        self.raised.extend(floors);
        for (topic, floor) in &self.raised {
            self.topics.remove_through(topic.as_topic_ref(), *floor);
        }
        self.raised.retain(|(_, floor)| *floor > visible);
    }
}
