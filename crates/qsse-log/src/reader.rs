//! A reader: one position in the log, and the next step from there.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use qsse_proto::EventId;
use qsse_proto::batch::Batch;
use qsse_proto::control::OnLag;
use qsse_proto::stream::{Gap, GapReason, Outcome};
use qsse_topic::Topic;

use crate::encoding::Encoding;
use crate::feed::{Feed, Taken};
use crate::history::Selected;
use crate::log::Log;
use crate::pace::Progress;
use crate::storage::StorageError;
use crate::waiters::Place;

mod start;
mod stored;

pub use start::StartError;
pub use stored::Found;

use start::SELECTED;
use stored::Fetched;

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
    /// Up to here the history is read, also where the feed has it: a start in the past gets what is kept.
    past_until: u64,
    /// Up to here a gap has told what is missing.
    told: u64,
    /// Single events to hand out before going on after `selected_until`.
    selected: VecDeque<u64>,
    selected_until: u64,
    /// In a log with a storage, in place of single events: up to `selected_until`, of each topic only those from a seq on.
    since: Option<HashMap<Topic, u64>>,
    /// What came from the storage and was not handed out yet.
    fetched: Fetched,
    /// Why nothing came, to be told next.
    failed: Option<StorageError>,
    progress: Arc<Progress>,
    /// Among those who wait for the feed.
    place: Option<Place>,
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
    /// The storage did not give what follows: a further step asks for it again.
    Unreadable {
        /// What it said.
        reason: String,
    },
    /// The reader lags, and [`OnLag::Disconnect`] was asked for: it is of no more use.
    Lagged,
    /// Everything up to this event has been handed out: wait for [`Reader::ready`].
    Idle(EventId),
}

impl Reader {
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
        self.log.lineage().id(self.position)
    }

    /// What is done when it lags.
    pub fn on_lag(&self) -> OnLag {
        self.on_lag
    }

    /// True while the reader is behind its feed and reads from the history.
    pub fn is_lagging(&self) -> bool {
        self.lagging
    }

    /// True while the reader lags and was in its feed before: it has fallen behind. One that begins in the history has not.
    pub fn has_fallen_behind(&self) -> bool {
        self.lagging && self.caught_up
    }

    /// The next step, adding to `out` batches of about `budget` bytes.
    ///
    /// Never waits. One call looks at a bounded part of the history.
    pub fn step(&mut self, budget: usize, out: &mut Vec<Batch>) -> Step {
        // Whoever asks for more has dealt with what came before.
        let before = self.position;
        let step = self.next(budget, out);
        let idle = matches!(step, Step::Idle(_));
        let taken = if idle { self.position } else { before };
        self.progress.set(taken, self.lagging);
        self.log.shared().pace.moved();
        step
    }

    fn next(&mut self, budget: usize, out: &mut Vec<Batch>) -> Step {
        if let Some(error) = self.failed.take() {
            let reason = error.to_string();
            return Step::Unreadable { reason };
        }
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
        let taken = if self.position < self.past_until {
            let floor = self.past_until;
            Taken::Below { floor }
        } else {
            self.feed.take(self.position, budget, out)
        };
        match taken {
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
            // While the last events of a lag are handed out it is not another lag.
            Taken::Below { floor } if self.caught_up && self.since.is_none() => {
                self.lag(visible.seq(), floor, out)
            }
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
    /// Cancel-safe.
    pub async fn ready(&mut self) {
        poll_fn(|cx| self.poll_ready(cx)).await;
    }

    /// [`ready`](Self::ready) for futures written by hand: the task that asked last is woken.
    pub fn poll_ready(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.feed
            .poll_ready(self.position, &mut self.place, cx.waker())
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
            let topics = &state.topics;
            let last = topics.last_seqs(self.feed.filter(), 1, (after, visible), SELECTED);
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
        let lost = match self.log.storage() {
            // It is asked below.
            Some(_) => after,
            None => state.topics.lost(filter, after).min(feed_floor),
        };
        if lost > after {
            self.told = lost;
            return gap(after, lost, self.lost_reason());
        }
        let position = self.position;
        // What retention has let go of is not remembered.
        let whole = state.topics.keeps_after(position);
        let read = match self.feed.past.get(position).filter(|_| whole) {
            Some(read) => read,
            None => {
                let read = state
                    .history
                    .read(filter, &state.topics, position, feed_floor);
                if whole && read.batch.is_some() {
                    let most = self.log.config().feeds_bytes;
                    self.feed.past.insert(position, &read, most);
                }
                read
            }
        };
        drop(state);
        if let Some(storage) = self.log.storage() {
            // What it has let go of, memory may lack. Memory follows it, so it is asked after memory was read.
            let lost = storage.floor(filter, after).min(feed_floor);
            if lost > after {
                self.told = lost;
                return gap(after, lost, self.lost_reason());
            }
        }
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
        self.feed.leave(self.place);
        self.progress.set(u64::MAX, true);
        self.log.shared().pace.moved();
    }
}
