//! A reader: one position in the log, and the next step from there.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use qsse_proto::EventId;
use qsse_proto::batch::Batch;
use qsse_proto::control::{OnLag, Start};
use qsse_proto::stream::{Gap, GapReason, Outcome};
use qsse_topic::{Filter, Topic};

use crate::encoding::Encoding;
use crate::feed::{Feed, Taken};
use crate::history::Selected;
use crate::log::{Log, State};
use crate::storage::Stored;

/// A position in a log, seen through a filter.
///
/// ```text
///            ┌────────────── history ──────────────┐
///   events   1 ▒▒▒▒▒▒▒▒ floor ─────────── feed floor ─────────── visible
///   position │   gap   │    read history     │   feed's batches    │ idle
/// ```
///
/// Dropping it frees its place in the feed.
pub struct Reader {
    log: Log,
    feed: Arc<Feed>,
    /// Everything up to here has been handed out or does not match.
    position: u64,
    /// Where the reading began.
    started: EventId,
    outcome: Outcome,
    on_lag: OnLag,
    /// It has been inside its feed: from now on, being below it is lag.
    caught_up: bool,
    lagging: bool,
    /// Up to here a gap has told what is missing.
    told: u64,
    /// Single events to hand out before going on after `selected_until`.
    selected: VecDeque<u64>,
    selected_until: u64,
    /// In a log with a storage, in place of single events: up to `selected_until`, of each topic only those from a seq on.
    since: Option<HashMap<Topic, u64>>,
    /// What came from the storage and was not handed out yet.
    fetched: Fetched,
}

/// What came from the storage.
#[derive(Default)]
struct Fetched {
    items: VecDeque<Item>,
    /// Where the position is once all of it is handed out.
    through: u64,
}

enum Item {
    Batch(Batch),
    Gap(Gap),
}

/// What [`Reader::find`] found.
pub struct Found(Kind);

enum Kind {
    Nothing,
    Read(Stored),
    Latest(Vec<(Topic, u64)>),
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Batches were added to the list; the position is behind them.
    Batches,
    /// Events may be missing; those kept of that range follow.
    Gap(Gap),
    /// Some history was looked at and nothing matched: ask again, after giving others a turn.
    Looking,
    /// What follows is in the storage: call [`Reader::fetch`] and then ask again.
    Stored,
    /// The reader lags, and [`OnLag::Disconnect`] was asked for: it is of no more use.
    Lagged,
    /// Everything up to this event has been handed out: wait for [`Reader::ready`].
    Idle(EventId),
}

/// Why a reader could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The last events of each topic are too many in all.
    #[error(
        "the last events of each topic would be more than {most}: ask for fewer, or start at a time"
    )]
    TooMany {
        /// The most that one start may select.
        most: usize,
    },
    /// This version has no such start position.
    #[error("this version does not know that start position")]
    Unknown,
}

/// Events that one start, or one lag, may select: 8 MiB of seqs.
const SELECTED: usize = 1 << 20;

/// Where a reading begins.
struct Begin {
    position: u64,
    outcome: Outcome,
    selected: VecDeque<u64>,
}

impl Reader {
    pub(crate) fn open(
        log: &Log,
        filter: &Filter,
        start: Start,
        on_lag: OnLag,
    ) -> Result<Self, StartError> {
        let mut state = log.shared().state.lock();
        let head = state.head;
        let feed = state.feeds.open(filter, head, log.config());
        let feed_floor = feed.join();
        let begun = begin(&state, log, filter, start, feed_floor);
        drop(state);
        let begin = match begun {
            Ok(begin) => begin,
            Err(error) => {
                feed.leave();
                return Err(error);
            }
        };
        Ok(Self {
            log: log.clone(),
            feed,
            position: begin.position,
            started: EventId::new(log.epoch(), begin.position),
            outcome: begin.outcome,
            on_lag,
            caught_up: false,
            lagging: false,
            told: 0,
            selected: begin.selected,
            selected_until: head,
            since: None,
            fetched: Fetched::default(),
        })
    }

    /// Finds starts that only the storage knows.
    pub(crate) async fn find_start(&mut self, start: Start) {
        let Some(storage) = self.log.storage().cloned() else {
            return;
        };
        let filter = self.feed.filter().clone();
        let position = match start {
            Start::Since(time) => storage.seq_at(time).await.saturating_sub(1),
            Start::Last(n) => {
                let until = self.selected_until;
                let tail = storage.tail(filter.clone(), u64::from(n), until).await;
                let first = tail.iter().map(|(_, seq)| seq.saturating_sub(1)).min();
                self.since = Some(tail.into_iter().collect());
                first.unwrap_or(until)
            }
            _ => return,
        };
        self.position = position.min(self.selected_until);
        self.started = EventId::new(self.log.epoch(), self.position);
        if matches!(start, Start::Since(_)) && storage.floor(&filter) > self.position {
            self.outcome = Outcome::Gap;
        }
    }

    /// How the reading began: what the header of its stream says.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Where the reading began: the first event handed out comes after it.
    pub fn started(&self) -> EventId {
        self.started
    }

    /// Everything up to here has been handed out or does not match.
    pub fn position(&self) -> EventId {
        EventId::new(self.log.epoch(), self.position)
    }

    /// What is done when it lags.
    pub fn on_lag(&self) -> OnLag {
        self.on_lag
    }

    /// True while the reader is behind its feed and reads from the history.
    pub fn is_lagging(&self) -> bool {
        self.lagging
    }

    /// The next step, adding to `out` batches of about `budget` bytes.
    ///
    /// Never waits. One call looks at a bounded part of the history.
    pub fn step(&mut self, budget: usize, out: &mut Vec<Batch>) -> Step {
        if !self.fetched.items.is_empty() {
            return self.take_fetched(budget, out);
        }
        if !self.selected.is_empty() {
            return self.read_selected(out);
        }
        let had = out.len();
        let step = self.step_in_memory(budget, out);
        self.keep_since(had, out);
        match step {
            Step::Batches if out.len() == had => Step::Looking,
            step => step,
        }
    }

    fn step_in_memory(&mut self, budget: usize, out: &mut Vec<Batch>) -> Step {
        // QP-7.5, QP-7.8: nothing beyond what is complete is shown. Read before the feed: what the feed then lacks does not match, up to here.
        let visible = self.log.visible();
        match self.feed.take(self.position, budget, out) {
            Taken::Batches => {
                (self.lagging, self.caught_up) = (false, true);
                self.position = out.last().map_or(self.position, Batch::last_seq);
                Step::Batches
            }
            Taken::Inside(batch) => {
                (self.lagging, self.caught_up) = (false, true);
                out.extend(batch.after(self.position));
                self.position = batch.last_seq();
                Step::Batches
            }
            Taken::Below { floor } if self.caught_up => self.lag(visible.seq(), floor, out),
            Taken::Below { floor } => self.read_history(floor, out),
            Taken::Nothing => {
                (self.lagging, self.caught_up) = (false, true);
                self.position = self.position.max(visible.seq());
                Step::Idle(self.position())
            }
        }
    }

    /// Waits until [`step`](Self::step) has something to do.
    ///
    /// Cancel-safe. The future does not borrow the reader; it is of use until the next step.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + use<> {
        let (feed, position) = (Arc::clone(&self.feed), self.position);
        async move { feed.ready(position).await }
    }

    /// A batch of this reader in another encoding.
    ///
    /// It is written once for all readers of the filter as long as the feed holds the batch, and anew where the batch came from the
    /// history or was changed.
    pub fn encoded(&self, batch: &Batch, encoding: Encoding) -> Bytes {
        self.feed.encoded(batch, encoding)
    }

    /// The reader fell out of its feed.
    fn lag(&mut self, visible: u64, feed_floor: u64, out: &mut Vec<Batch>) -> Step {
        let after = self.position;
        let reason = match self.on_lag {
            OnLag::Skip => GapReason::Skipped,
            OnLag::Latest => GapReason::Latest,
            OnLag::Disconnect => {
                self.lagging = true;
                return Step::Lagged;
            }
            // A policy of a later version: nothing is lost by catching up.
            _ => return self.read_history(feed_floor, out),
        };
        if visible <= after {
            return Step::Looking;
        }
        self.lagging = true;
        if reason == GapReason::Latest && self.log.storage().is_some() {
            // The last events may be older than what is in memory.
            self.since = Some(HashMap::new());
            self.selected_until = visible;
            return Step::Stored;
        }
        if reason == GapReason::Latest {
            let state = self.log.shared().state.lock();
            let (history, topics) = (&state.history, &state.topics);
            let last = history.last(self.feed.filter(), topics, 1, after, visible, SELECTED);
            self.selected = last.unwrap_or_default();
        }
        (self.selected_until, self.told) = (visible, visible);
        if self.selected.is_empty() {
            self.position = visible;
        }
        gap(after, visible, reason)
    }

    /// The next of the events that were selected one by one.
    fn read_selected(&mut self, out: &mut Vec<Batch>) -> Step {
        self.lagging = true;
        let state = self.log.shared().state.lock();
        let (before, topics) = (self.position, &state.topics);
        let step = match state.history.take_selected(topics, &mut self.selected) {
            Selected::Batch(batch) => {
                self.position = batch.last_seq();
                out.push(batch);
                Step::Batches
            }
            Selected::Lost(seq) if seq <= self.told => Step::Looking,
            Selected::Lost(seq) => {
                self.told = seq;
                gap(before, seq, GapReason::Retention)
            }
        };
        if self.selected.is_empty() {
            self.position = self.selected_until;
        }
        step
    }

    /// Gets what [`Step::Stored`] announced, about `budget` bytes of it.
    ///
    /// Cancel-safe: a fetch that is dropped is as one that was never begun.
    pub async fn fetch(&mut self, budget: usize) {
        let found = self.find(budget).await;
        self.take_up(found);
    }

    /// The first half of [`fetch`](Self::fetch), which does not borrow the reader: give what it finds to
    /// [`take_up`](Self::take_up) before the next step.
    pub fn find(&self, budget: usize) -> impl Future<Output = Found> + Send + use<> {
        let storage = self.log.storage().cloned();
        let filter = self.feed.filter().clone();
        let (after, through) = (self.position, self.fetched.through);
        let latest = self.since.as_ref().is_some_and(HashMap::is_empty);
        let until = self.selected_until;
        async move {
            Found(match storage {
                None => Kind::Nothing,
                Some(storage) if latest => Kind::Latest(storage.tail(filter, 1, until).await),
                Some(storage) => Kind::Read(storage.read(filter, after, through, budget).await),
            })
        }
    }

    /// The second half of [`fetch`](Self::fetch).
    pub fn take_up(&mut self, found: Found) {
        match found.0 {
            Kind::Nothing => {}
            Kind::Read(stored) => self.take_stored(stored),
            Kind::Latest(tail) => self.take_latest(tail),
        }
    }

    fn take_stored(&mut self, stored: Stored) {
        let after = self.position;
        let (told, reason) = (after.max(self.told), self.lost_reason());
        let mut items = VecDeque::new();
        if stored.floor > told {
            self.told = stored.floor;
            items.push_back(Item::Gap(gap_of(told, stored.floor, reason)));
        }
        let mut lost = stored.lost.into_iter().peekable();
        let gap = |(after, to)| Item::Gap(gap_of(after, to, GapReason::Damaged));
        for batch in stored.batches {
            while let Some(lost) = lost.next_if(|(_, to)| *to < batch.first_seq()) {
                items.push_back(gap(lost));
            }
            items.push_back(Item::Batch(batch));
        }
        items.extend(lost.map(gap));
        let through = stored.through.max(after);
        if items.is_empty() {
            self.position = through;
        }
        self.fetched = Fetched { items, through };
    }

    /// The last event of each topic, of which a lagging reader gets those that it has missed.
    fn take_latest(&mut self, tail: Vec<(Topic, u64)>) {
        let (after, until) = (self.position, self.selected_until);
        let missed: HashMap<_, _> = tail.into_iter().filter(|(_, seq)| *seq > after).collect();
        let through = missed.values().min().map_or(until, |seq| seq - 1);
        self.told = until;
        self.since = (!missed.is_empty()).then_some(missed);
        let items = [Item::Gap(gap_of(after, until, GapReason::Latest))].into();
        self.fetched = Fetched { items, through };
    }

    /// Hands out what was fetched.
    fn take_fetched(&mut self, budget: usize, out: &mut Vec<Batch>) -> Step {
        self.lagging = true;
        let (had, mut room) = (out.len(), budget);
        let mut step = Step::Looking;
        while let Some(item) = self.fetched.items.pop_front() {
            match item {
                Item::Batch(batch) => {
                    room = room.saturating_sub(batch.bytes().len());
                    self.position = batch.last_seq();
                    out.push(batch);
                    step = Step::Batches;
                }
                Item::Gap(gap) if out.len() == had => {
                    step = Step::Gap(gap);
                    room = 0;
                }
                gap @ Item::Gap(_) => {
                    self.fetched.items.push_front(gap);
                    room = 0;
                }
            }
            if room == 0 {
                break;
            }
        }
        if self.fetched.items.is_empty() {
            self.position = self.position.max(self.fetched.through);
        }
        self.keep_since(had, out);
        match step {
            Step::Batches if out.len() == had => Step::Looking,
            step => step,
        }
    }

    /// Leaves out events that come before the last ones of their topics.
    fn keep_since(&mut self, had: usize, out: &mut Vec<Batch>) {
        let until = self.selected_until;
        let Some(since) = &self.since else {
            return;
        };
        let wanted = |seq: u64, topic: &str| {
            seq > until || since.get(topic).is_some_and(|first| *first <= seq)
        };
        for batch in out.split_off(had) {
            out.extend(batch.filter(|event| wanted(event.seq(), event.topic())));
        }
        if self.position >= until {
            self.since = None;
        }
    }

    /// Why events below the floor are missing.
    fn lost_reason(&self) -> GapReason {
        if self.caught_up {
            GapReason::Lag
        } else {
            GapReason::Retention
        }
    }

    fn read_history(&mut self, feed_floor: u64, out: &mut Vec<Batch>) -> Step {
        self.lagging = true;
        let state = self.log.shared().state.lock();
        let after = self.position.max(self.told);
        let filter = self.feed.filter();
        if self.log.storage().is_some() {
            self.fetched.through = state.history.floor().min(feed_floor);
            if self.position < self.fetched.through {
                return Step::Stored;
            }
        }
        let lost = self.log.lost(&state, filter, after).min(feed_floor);
        if lost > after {
            self.told = lost;
            return gap(after, lost, self.lost_reason());
        }
        let read = state
            .history
            .read(filter, &state.topics, self.position, feed_floor);
        self.position = read.through;
        match read.batch {
            Some(batch) => {
                out.push(batch);
                Step::Batches
            }
            None => Step::Looking,
        }
    }
}

/// Where `start` is.
fn begin(
    state: &State,
    log: &Log,
    filter: &Filter,
    start: Start,
    feed_floor: u64,
) -> Result<Begin, StartError> {
    let head = state.head;
    let floor = match log.storage() {
        Some(storage) => storage.oldest(),
        None => state.history.floor(),
    };
    let at = |position, outcome| Begin {
        position,
        outcome,
        selected: VecDeque::new(),
    };
    let known = |id: EventId| id.epoch() == log.epoch() && id.seq() <= head;
    // Whether a matching event behind this position is gone.
    let after = |position| {
        let lost = log.lost(state, filter, position).min(feed_floor);
        at(
            position,
            if lost > position {
                Outcome::Gap
            } else {
                Outcome::Resumed
            },
        )
    };
    Ok(match start {
        Start::Live => at(head, Outcome::Live),
        Start::Earliest => at(floor, Outcome::Resumed),
        Start::After(id) if !known(id) => at(floor, Outcome::Reset),
        Start::After(id) => after(id.seq()),
        // The storage is asked later.
        Start::Since(_) | Start::Last(_) if log.storage().is_some() => at(head, Outcome::Resumed),
        Start::Since(time) => match state.history.before(time) {
            Some(position) => after(position),
            // Some of that time are gone: how many were of that time is not known any more.
            None => after(0),
        },
        Start::Last(n) => {
            let n = usize::try_from(n).unwrap_or(usize::MAX);
            let selected = state
                .history
                .last(filter, &state.topics, n, 0, head, SELECTED)
                .ok_or(StartError::TooMany { most: SELECTED })?;
            let position = selected.front().map_or(head, |first| first - 1);
            Begin {
                position,
                outcome: Outcome::Resumed,
                selected,
            }
        }
        _ => return Err(StartError::Unknown),
    })
}

fn gap(after: u64, to: u64, reason: GapReason) -> Step {
    Step::Gap(gap_of(after, to, reason))
}

fn gap_of(after: u64, to: u64, reason: GapReason) -> Gap {
    Gap {
        after,
        to,
        at_most: to - after,
        reason,
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.feed.leave();
    }
}
