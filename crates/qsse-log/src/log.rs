//! The log itself: one lock around the sequencer, the history and the set of feeds.

use std::sync::Arc;
use std::time::Duration;

use qsse_proto::control::{OnLag, Start};
use qsse_proto::{Epoch, EventId};
use qsse_topic::{Filter, Pattern, Topic, TopicRef};
use tokio::sync::Notify;

use crate::append::{AppendError, Appended, Appender, NewEvent};
use crate::config::Config;
use crate::dedup::Dedup;
use crate::feeds::Feeds;
use crate::history::History;
use crate::lineage::Lineage;
use crate::pace::Pace;
use crate::pending::{Group, Pending};
use crate::publishers::Publishers;
use crate::reader::{Reader, StartError};
use crate::storage::{Acknowledge, Storage, StorageError};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::{Now, Wall};
use crate::topics::Topics;

/// A storage that answers nothing for this long is told by [`Log::health`].
const STALLED: Duration = Duration::from_secs(10);

/// A log of events. Clones are handles of the same log.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    lineage: Lineage,
    pub(crate) config: Config,
    /// The last event whose append is complete.
    pub(crate) visible: AtomicU64,
    pub(crate) state: Mutex<State>,
    pub(crate) storage: Option<Arc<dyn Storage>>,
    /// There is something for the storage.
    pub(crate) appended: Notify,
    /// The storage has taken something.
    pub(crate) stored: Notify,
    pub(crate) pace: Pace,
}

/// Everything that the sequencer's critical section covers.
pub(crate) struct State {
    /// The last sequence number given out.
    pub(crate) head: u64,
    /// The wall clock, and the time of events.
    pub(crate) wall: Wall,
    pub(crate) topics: Topics,
    pub(crate) history: History,
    pub(crate) feeds: Feeds,
    pub(crate) dedup: Dedup,
    pub(crate) publishers: Publishers,
    /// What the storage gets next.
    pub(crate) pending: Pending,
    /// What the storage writes just now.
    pub(crate) writing: Option<Group>,
    /// Seqs up to here may be told before they are written.
    pub(crate) reserved: u64,
    /// What the storage has let go of, up to these seqs, as far as memory may have it yet.
    pub(crate) let_go: Vec<(Topic, u64)>,
    /// Why nothing may be appended, while that is so.
    pub(crate) refusing: Option<StorageError>,
    /// The oldest event that the storage had not taken at the last sweep, and since when.
    waiting: Option<(u64, Duration)>,
    /// Since when the storage has been asked to reserve seqs, and to let go of old events.
    pub(crate) asked: Asked,
    /// How long the storage has taken nothing, when that was too long at the last sweep.
    pub(crate) stalled: Option<Duration>,
    /// Nothing is appended any more.
    pub(crate) closed: bool,
}

/// Calls to the storage that are not answered yet, beside the group that it writes.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) reserve: Option<Duration>,
    pub(crate) retain: Option<Duration>,
}

/// What a log holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The last sequence number given out.
    pub head: u64,
    /// Events in the history.
    pub history_events: u64,
    /// Allocated bytes of the history.
    pub history_bytes: usize,
    /// Feeds, with and without readers.
    pub feeds: usize,
    /// Allocated bytes of all feeds.
    pub feed_bytes: usize,
    /// Topics declared or with a kept event.
    pub topics: usize,
    /// Keys of publishes that are remembered.
    pub dedup_keys: usize,
    /// Publishers whose last number is remembered.
    pub dedup_publishers: usize,
}

impl Log {
    /// An empty log. `epoch` must be random: it is how a cursor of another log is recognised.
    pub fn new(epoch: Epoch, config: Config) -> Self {
        let state = State::new(Topics::new(&config.retention), &config);
        Self::of(Lineage::new(epoch), config, state, None)
    }

    /// A log that keeps its events in a storage as well, and goes on after those that are there.
    ///
    /// Retention is the storage's then, and [`Config::retention`] has no effect: memory serves nothing that
    /// [`retain`](Self::retain) has let go of. The events get there only while [`keep`](Self::keep) runs.
    pub fn stored(storage: Arc<dyn Storage>, config: Config, now: Now) -> Self {
        let opened = storage.opened();
        let mut state = State::new(Topics::new(&[]), &config);
        state.head = opened.head;
        state.reserved = opened.reserved;
        state.wall = Wall::after(opened.last_time);
        state.history.begin_after(opened.head, opened.latest);
        state.read_clock(now);
        let lost = !opened.clean && config.acknowledge == Acknowledge::Memory;
        state.dedup.recover(&opened, now, lost);
        state.publishers.recover(&opened, now, lost);
        Self::of(opened.lineage, config, state, Some(storage))
    }

    fn of(
        lineage: Lineage,
        config: Config,
        state: State,
        storage: Option<Arc<dyn Storage>>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                lineage,
                config,
                visible: AtomicU64::new(state.head),
                state: Mutex::new(state),
                storage,
                appended: Notify::new(),
                stored: Notify::new(),
                pace: Pace::default(),
            }),
        }
    }

    /// Appends one event.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append(&self, now: Now, event: NewEvent<'_>) -> Result<EventId, AppendError> {
        let mut appender = self.appender(now);
        appender.ready()?;
        appender.push(event)
    }

    /// Appends events as one step, without any other between them. `None` when there are none.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended then.
    pub fn append_all(
        &self,
        now: Now,
        events: &[NewEvent<'_>],
    ) -> Result<Option<Appended>, AppendError> {
        let mut appender = self.appender(now);
        appender.ready()?;
        appender.push_all(events)
    }

    /// Holds the sequencer for several events in a row.
    pub fn appender(&self, now: Now) -> Appender<'_> {
        Appender::new(self, self.shared.state.lock(), now)
    }

    /// A reader of the events that `filter` matches, which catches up when it lags.
    ///
    /// In a log with a storage only starts that need nothing of it: [`open`](Self::open) knows all.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn reader(&self, filter: &Filter, start: Start) -> Result<Reader, StartError> {
        Reader::open(self, filter, start, OnLag::CatchUp)
    }

    /// As [`reader`](Self::reader), with what is done when it lags.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn reader_with(
        &self,
        filter: &Filter,
        start: Start,
        on_lag: OnLag,
    ) -> Result<Reader, StartError> {
        Reader::open(self, filter, start, on_lag)
    }

    /// As [`reader`](Self::reader), with what is done when it lags, and any start.
    ///
    /// Waits for the storage, if the start is there.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open(
        &self,
        filter: &Filter,
        start: Start,
        on_lag: OnLag,
    ) -> Result<Reader, StartError> {
        let mut reader = Reader::open(self, filter, start, on_lag)?;
        reader.find_start(start).await?;
        Ok(reader)
    }

    /// Waits until every reader that keeps up has been given everything up to `seq`, and has dealt with it. Readers that lag are not
    /// waited for.
    ///
    /// Cancel-safe.
    pub async fn taken(&self, seq: u64) {
        let shared = self.shared();
        let done = || {
            let feeds = shared.state.lock().feeds.read();
            shared.visible.load(Ordering::Acquire) >= seq
                && feeds.iter().all(|feed| feed.is_taken(seq))
        };
        shared.pace.until(done).await;
    }

    /// Keeps a topic known also while it has no events, for [`topics_matching`](Self::topics_matching).
    pub fn declare(&self, topic: TopicRef<'_>) {
        self.shared.state.lock().topics.pin(topic);
    }

    /// The topics that `pattern` matches among those declared or with a kept event, in order.
    pub fn topics_matching(&self, pattern: &Pattern) -> Vec<Topic> {
        let stored = self
            .storage()
            .map(|storage| storage.topics(&Filter::from(pattern.clone())));
        let state = self.shared.state.lock();
        let mut topics = state.topics.matching(pattern.as_pattern_ref());
        drop(state);
        topics.extend(stored.into_iter().flatten());
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// How many events each topic has had since the last call: what metrics count.
    pub fn take_published(&self) -> Vec<(Topic, u64)> {
        self.shared.state.lock().topics.take_published()
    }

    /// Applies the retention by age, drops feeds that nobody reads, and looks after the storage and the clock. Call it about once
    /// a second.
    pub fn sweep(&self, now: Now) {
        let set_back = self.shared.state.lock().sweep(now, &self.shared.config);
        if let Some(set_back) = set_back {
            tracing::warn!(
                ?set_back,
                "the clock was set back, and the times of new events with it"
            );
        }
    }

    /// The epoch of what is appended now.
    pub fn epoch(&self) -> Epoch {
        self.shared.lineage.current()
    }

    /// The epochs of the log, of which there are several if it has a storage.
    pub fn lineage(&self) -> &Lineage {
        &self.shared.lineage
    }

    /// The last event whose append is complete; seq 0 before the first.
    pub fn visible(&self) -> EventId {
        let seq = self.shared.visible.load(Ordering::Acquire);
        self.shared.lineage.id(seq)
    }

    /// What the log was made with.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// What the log holds now.
    pub fn stats(&self) -> Stats {
        let state = self.shared.state.lock();
        Stats {
            head: state.head,
            history_events: state.history.events(),
            history_bytes: state.history.bytes() + state.topics.index_bytes(),
            feeds: state.feeds.len(),
            feed_bytes: state.feeds.bytes(),
            topics: state.topics.len(),
            dedup_keys: state.dedup.len(),
            dedup_publishers: state.publishers.len(),
        }
    }

    /// The newest event that `filter` admits and that is kept nowhere any more; at most `above` if there is none above that.
    pub(crate) fn lost(&self, state: &State, filter: &Filter, above: u64) -> u64 {
        match self.storage() {
            Some(storage) => storage.floor(filter, above).max(above),
            None => state.topics.lost(filter, above),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl State {
    fn new(topics: Topics, config: &Config) -> Self {
        Self {
            head: 0,
            wall: Wall::default(),
            topics,
            history: History::new(config),
            feeds: Feeds::default(),
            dedup: Dedup::default(),
            publishers: Publishers::default(),
            pending: Pending::default(),
            writing: None,
            reserved: 0,
            let_go: Vec::new(),
            refusing: None,
            waiting: None,
            asked: Asked::default(),
            stalled: None,
            closed: false,
        }
    }

    /// As [`Log::sweep`]; how far the clock was set back since the last call, if that is more than it may be.
    fn sweep(&mut self, now: Now, config: &Config) -> Option<Duration> {
        self.watch_storage(now.monotonic);
        self.read_clock(now);
        let Self {
            topics,
            history,
            feeds,
            dedup,
            publishers,
            ..
        } = self;
        history.trim(config, now.monotonic, topics);
        for id in topics.ruled() {
            if let Some(rule) = topics.rule(id) {
                history.trim_topic(id, &config.retention[rule], now.monotonic, topics);
            }
        }
        feeds.sweep(now.monotonic, config);
        dedup.trim(now.monotonic, config);
        publishers.trim(now.monotonic, config);
        self.wall.take_set_back()
    }

    /// Takes a reading of the wall clock.
    pub(crate) fn read_clock(&mut self, now: Now) {
        self.wall.read(now.wall);
        self.history.believe(self.wall.latest());
    }

    /// Why the storage takes no more events, if that is so.
    pub(crate) fn end(&self) -> Option<&StorageError> {
        self.refusing.as_ref().filter(|error| error.is_final())
    }

    /// The storage takes events again, unless it has ended.
    pub(crate) fn accept_again(&mut self) {
        self.refusing.take_if(|error| !error.is_final());
    }

    /// Notes how long the storage has owed an answer for the same event.
    fn watch_storage(&mut self, now: Duration) {
        let pending = (!self.pending.is_empty()).then(|| self.pending.group());
        let oldest = self.writing.as_ref().or(pending).map(Group::first);
        let since = |first| match self.waiting {
            Some((same, since)) if same == first => since,
            _ => now,
        };
        self.waiting = oldest.map(|first| (first, since(first)));
        let event = self.waiting.map(|(_, since)| since);
        let since = [event, self.asked.reserve, self.asked.retain];
        let longest = since.into_iter().flatten().min();
        let waited = longest.map(|since| now.saturating_sub(since));
        self.stalled = waited.filter(|waited| *waited >= STALLED);
    }
}
