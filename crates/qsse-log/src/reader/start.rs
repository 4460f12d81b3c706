//! Where a reader starts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use qsse_proto::control::{OnLag, Start};
use qsse_proto::stream::Outcome;
use qsse_proto::{EventId, Timestamp};
use qsse_topic::Filter;

use super::Reader;
use super::fetched::Fetched;
use super::joining::Joining;
use super::selecting::{MAX_SELECTED, Selecting};
use super::stored::WithMemory;
use crate::contained::{contained, contained_now};
use crate::error::StartError;
use crate::feed::Feed;
use crate::feeds::JoinedFeed;
use crate::shared::{Shared, stored_floor};
use crate::state::State;
use crate::storage::{Storage, StorageError};

/// How long a start waits until events that readers have seen are written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a start waits for each answer of the storage.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a reader starts.
struct Begin {
    position: u64,
    outcome: Outcome,
    /// Up to here the feed is not used: it still has events that retention has removed.
    past_until: u64,
    /// Whether events may be missing is still to be asked of the storage: the feed has those after
    /// this floor.
    feed_floor: Option<u64>,
}

impl Reader {
    /// Opens a reader at a start that is in memory. The last events of each topic are then still to
    /// be selected. With a storage, [`find_start`](Self::find_start) finds that start and others.
    pub(crate) fn open(
        shared: &Arc<Shared>,
        filter: &Filter,
        start: Start,
        on_lag: OnLag,
    ) -> Result<Self, StartError> {
        let mut joining = Joining::new(shared, filter);
        loop {
            if let Some(feed) = joining.part()? {
                return Self::begin(shared, feed, start, on_lag);
            }
        }
    }

    /// Does the same as [`open`](Self::open). Each part but the first waits for what `turn` returns,
    /// and holds that until it is done.
    pub(crate) async fn open_in_turns<F: Future>(
        shared: &Arc<Shared>,
        filter: &Filter,
        start: Start,
        on_lag: OnLag,
        turn: impl Fn() -> F,
    ) -> Result<Self, StartError> {
        let mut joining = Joining::new(shared, filter);
        let mut feed = joining.part()?;
        loop {
            if let Some(feed) = feed {
                return Self::begin(shared, feed, start, on_lag);
            }
            let _turn = turn().await;
            feed = joining.part()?;
        }
    }

    /// Begins to read a feed.
    fn begin(
        shared: &Arc<Shared>,
        feed: JoinedFeed,
        start: Start,
        on_lag: OnLag,
    ) -> Result<Self, StartError> {
        let state = shared.state.lock();
        // Events that the storage has not written yet may still be dropped, so they do not count.
        let head = shared.visible().seq();
        let feed_floor = feed.seal();
        let moment = Moment {
            shared,
            state: &state,
            feed: &feed,
            feed_floor,
            head,
        };
        let begin = moment.begin(start);
        drop(state);
        // Without the lock: the storage may have to look at many topics.
        let begin = begin?.checked(shared, feed.filter())?;
        let progress = feed.progress.add();
        progress.set(begin.position, false);
        let selecting = match start {
            Start::Last(n) if shared.storage.is_none() => {
                let n = usize::try_from(n).unwrap_or(usize::MAX);
                Some(Selecting::new(shared, feed.filter(), n, (0, head)))
            }
            _ => None,
        };
        Ok(Self {
            shared: Arc::clone(shared),
            feed,
            position: begin.position,
            started: shared.lineage.id(begin.position),
            outcome: begin.outcome,
            on_lag,
            caught_up: false,
            lagging: false,
            searching: false,
            past_until: begin.past_until,
            reported: 0,
            selecting,
            selected: VecDeque::new(),
            selected_bytes: None,
            selected_until: head,
            since: None,
            failed: None,
            fetched: Fetched::default(),
            progress,
            waiter: None,
        })
    }

    /// Moves to a start that only the storage can find. It takes turns as
    /// [`select_in_turns`](Self::select_in_turns) does.
    pub(crate) async fn find_start<F: Future>(
        &mut self,
        start: Start,
        turn: impl Fn() -> F,
    ) -> Result<(), StartError> {
        let Some(storage) = self.shared.storage.clone() else {
            return Ok(());
        };
        match start {
            Start::Since(time) => self.find_time(&*storage, time).await,
            Start::Last(n) => self.find_last(&*storage, n, turn).await,
            _ => Ok(()),
        }
    }

    async fn find_time(
        &mut self,
        storage: &dyn Storage,
        time: Timestamp,
    ) -> Result<(), StartError> {
        let (in_memory, until) = {
            let state = self.shared.state.lock();
            (state.history.before(time), state.wall.latest())
        };
        let position = match in_memory {
            Some(position) => position,
            None => read(storage.seq_at(time, until)).await?.saturating_sub(1),
        };
        self.start_at(position);
        self.past_until = self.selected_until;
        let floor = stored_floor(storage, self.feed.filter(), self.position);
        if floor.map_err(unreadable)?.min(self.past_until) > self.position {
            self.outcome = Outcome::Gap;
        }
        Ok(())
    }

    async fn find_last<F: Future>(
        &mut self,
        storage: &dyn Storage,
        n: u32,
        turn: impl Fn() -> F,
    ) -> Result<(), StartError> {
        let (filter, until) = (self.feed.filter().clone(), self.selected_until);
        if !self.shared.is_stored_first() {
            // Events that were shown and have left memory may not be written yet. A full disk must
            // not delay the start for ever.
            let _ = tokio::time::timeout(WRITE_TIMEOUT, self.shared.flush()).await;
        }
        // Removed events are not among the last ones, so they are not missing.
        self.reported = stored_floor(storage, &filter, 0).map_err(unreadable)?;
        let tail = read(storage.tail(filter, u64::from(n), until)).await?;
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        let mut tail = WithMemory::new(tail, n, until);
        while !tail.part(self) {
            let _turn = turn().await;
        }
        let tail = tail.tail;
        if tail.len() > MAX_SELECTED {
            return Err(StartError::TooMany { most: MAX_SELECTED });
        }
        let first = tail.values().map(|seq| seq.saturating_sub(1)).min();
        self.since = (!tail.is_empty()).then_some(tail);
        self.start_at(first.unwrap_or(until));
        Ok(())
    }

    /// Begins at the first of the events that were selected.
    pub(super) fn start_at_selected(&mut self) -> Result<(), StartError> {
        let Some(selected) = self.take_selected() else {
            return Ok(());
        };
        self.selected = selected.ok_or(StartError::TooMany { most: MAX_SELECTED })?;
        let first = self.selected.front().map(|first| first - 1);
        self.start_at(first.unwrap_or(self.selected_until));
        self.progress.set(self.position, false);
        Ok(())
    }

    fn start_at(&mut self, position: u64) {
        self.position = position.min(self.selected_until);
        self.started = self.shared.lineage.id(self.position);
    }
}

/// How it started.
impl Reader {
    /// Returns how the reader started, for the header of its stream.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Returns where the reader started: the first event comes after this position.
    pub fn started(&self) -> EventId {
        self.started
    }
}

/// Waits for an answer of the storage, for a limited time: a hanging disk must not delay a start
/// for ever.
async fn read<T>(call: impl Future<Output = Result<T, StorageError>>) -> Result<T, StartError> {
    let answer = tokio::time::timeout(READ_TIMEOUT, contained(call)).await;
    let answer = answer.unwrap_or_else(|_| Err(StorageError::silent(READ_TIMEOUT)));
    answer.map_err(unreadable)
}

fn unreadable(error: StorageError) -> StartError {
    let reason = error.to_string();
    StartError::Unreadable { reason }
}

impl Begin {
    /// Asks the storage whether events are missing, if it has to be asked.
    fn checked(self, shared: &Shared, filter: &Filter) -> Result<Self, StartError> {
        let (Some(storage), Some(feed_floor)) = (&shared.storage, self.feed_floor) else {
            return Ok(self);
        };
        let floor = stored_floor(&**storage, filter, self.position);
        Ok(self.with_floor(floor.map_err(unreadable)?.min(feed_floor)))
    }

    /// Notes that events up to `floor` were removed.
    fn with_floor(self, floor: u64) -> Self {
        let outcome = match self.outcome {
            Outcome::Resumed if floor > self.position => Outcome::Gap,
            outcome => outcome,
        };
        Self { outcome, ..self }
    }

    fn at(position: u64, outcome: Outcome) -> Self {
        Self {
            position,
            outcome,
            past_until: 0,
            feed_floor: None,
        }
    }
}

/// A log at the moment in which a reader is opened.
struct Moment<'a> {
    shared: &'a Shared,
    state: &'a State,
    feed: &'a Feed,
    feed_floor: u64,
    /// The last visible seq.
    head: u64,
}

impl Moment<'_> {
    /// Finds where a reader with this start begins.
    fn begin(&self, start: Start) -> Result<Begin, StartError> {
        match start {
            Start::Live => Ok(Begin::at(self.head, Outcome::Live)),
            Start::Earliest => self.earliest(),
            Start::After(id) if !self.knows(id) => Ok(Begin {
                outcome: Outcome::Reset,
                ..self.earliest()?
            }),
            Start::After(id) => Ok(self.resume(id.seq())),
            // The storage is asked later.
            Start::Since(_) if self.shared.storage.is_some() => {
                Ok(Begin::at(self.head, Outcome::Resumed))
            }
            Start::Since(time) => Ok(self.since(time)),
            // They are selected later.
            Start::Last(_) => Ok(Begin::at(self.head, Outcome::Resumed)),
            _ => Err(StartError::Unknown),
        }
    }

    fn knows(&self, id: EventId) -> bool {
        self.shared.lineage.knows(id, self.head)
    }

    fn earliest(&self) -> Result<Begin, StartError> {
        let floor = match &self.shared.storage {
            Some(storage) => contained_now(|| Ok(storage.oldest())).map_err(unreadable)?,
            None => self.state.history.floor(),
        };
        Ok(self.past(floor))
    }

    /// Continues after a position, with all that the feed has.
    fn resume(&self, position: u64) -> Begin {
        self.after(position, self.feed_floor)
    }

    /// Begins in the past, with all that is retained.
    fn past(&self, position: u64) -> Begin {
        Begin {
            past_until: self.head,
            ..self.after(position, self.head)
        }
    }

    /// Begins after a position, if the feed is used from `feed_floor` on.
    fn after(&self, position: u64, feed_floor: u64) -> Begin {
        let begin = Begin::at(position, Outcome::Resumed);
        if self.shared.storage.is_some() {
            let feed_floor = Some(feed_floor);
            return Begin {
                feed_floor,
                ..begin
            };
        }
        let floor = self.state.topics.floor(self.feed.filter(), position);
        begin.with_floor(floor.min(feed_floor))
    }

    fn since(&self, time: Timestamp) -> Begin {
        match self.state.history.before(time) {
            Some(position) => self.past(position),
            // Some events of that time have been removed. Their number is unknown, unless the feed
            // reaches back to before that time and times only rise.
            None if self.state.wall.went_back() => self.resume(0),
            None => self.resume(self.feed.before(time).unwrap_or_default()),
        }
    }
}
