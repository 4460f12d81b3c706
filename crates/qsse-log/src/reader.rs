//! [`Reader`]: one position in the log, and the next step from there.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use qsse_proto::EventId;
use qsse_proto::batch::Batch;
use qsse_proto::control::OnLag;
use qsse_proto::stream::{Gap, GapReason, Outcome};
use qsse_topic::{Filter, Topic};

use crate::backpressure::ReaderProgress;
use crate::encoding::Encoding;
use crate::feed::Taken;
use crate::feeds::JoinedFeed;
use crate::history::Selected;
use crate::read_cache::STRIDE;
use crate::shared::Shared;
use crate::storage::StorageError;
use crate::waiters::WaiterKey;

mod fetched;
mod joining;
mod past;
mod select;
mod selecting;
mod start;
mod stored;

use fetched::Fetched;
use selecting::{SelectedBytes, Selecting};
pub use stored::Found;

/// A read of the history that looks at so many events and yields so few bytes is a search.
const MANY_EVENTS: u64 = STRIDE / 2;
const FEW_BYTES: usize = 4 << 10;

/// A position in a log, seen through a filter.
///
/// ```text
///            ┌────────────── history ──────────────┐
///   events   1 ▒▒▒▒▒▒▒▒ floor ─────────── feed floor ─────────── visible
///   position │   gap   │    read history     │   feed's batches    │ idle
/// ```
///
/// Dropping it removes it from its feed.
pub struct Reader {
    shared: Arc<Shared>,
    feed: JoinedFeed,
    /// Everything up to here has been handed out or does not match.
    position: u64,
    /// Where the reader started.
    started: EventId,
    outcome: Outcome,
    on_lag: OnLag,
    /// The reader has been inside its feed: from then on, being below the feed is lag.
    caught_up: bool,
    lagging: bool,
    /// The last step was a search.
    searching: bool,
    /// Up to here the history is read even where the feed has the events, because a start in the
    /// past gets only what is retained.
    past_until: u64,
    /// Up to here a gap has reported what is missing.
    reported: u64,
    /// The selection of single events, until it is complete.
    selecting: Option<Selecting>,
    /// Single events to hand out before the reader continues after `selected_until`.
    selected: VecDeque<u64>,
    selected_bytes: Option<SelectedBytes>,
    selected_until: u64,
    /// Takes the place of `selected` in a log with a storage: up to `selected_until`, each topic
    /// has only the events from its seq on.
    since: Option<HashMap<Topic, u64>>,
    fetched: Fetched,
    /// Why the last fetch failed, to be reported by the next step.
    failed: Option<StorageError>,
    progress: Arc<ReaderProgress>,
    /// The reader's entry among the waiters of the feed.
    waiter: Option<WaiterKey>,
}

/// The next step of a reader.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Batches were added to the list, and the position is after them.
    Batches,
    /// Events may be missing. Those of that range that are retained follow.
    Gap(Gap),
    /// A part of the history was searched and nothing matched: give other tasks a turn, then ask
    /// again.
    Looking,
    /// The next events are in the storage: call [`Reader::fetch`] and then ask again.
    Stored,
    /// The storage failed to read the next events. Another step tries again.
    Unreadable {
        /// The storage's error.
        reason: String,
    },
    /// The reader lags, and [`OnLag::Disconnect`] was chosen. It is of no further use.
    Lagged,
    /// Everything up to this event has been handed out: wait for [`Reader::ready`].
    Idle(EventId),
}

impl Reader {
    /// Returns its filter. Readers of equal filters share the patterns.
    pub fn filter(&self) -> &Filter {
        self.feed.filter()
    }

    /// Returns the position: everything up to here has been handed out or does not match.
    pub fn position(&self) -> EventId {
        self.shared.lineage.id(self.position)
    }

    /// Returns what happens when the reader lags.
    pub fn on_lag(&self) -> OnLag {
        self.on_lag
    }

    /// Returns whether the reader is behind its feed and reads from the history.
    pub fn is_lagging(&self) -> bool {
        self.lagging
    }

    /// Returns whether the reader lags after having been live. A reader that started in the past
    /// and has not caught up yet has not fallen behind.
    pub fn has_fallen_behind(&self) -> bool {
        self.lagging && self.caught_up
    }

    /// Returns whether the last step looked at many events for what it found: the next one should
    /// wait, like one after [`Step::Looking`], until other tasks have had a turn.
    pub fn is_searching(&self) -> bool {
        self.searching
    }

    /// Returns the allocated bytes of what was fetched from the storage and not handed out yet.
    pub fn fetched_bytes(&self) -> usize {
        self.fetched.bytes()
    }

    /// Takes the next step, and adds batches of about `budget` bytes to `out`.
    ///
    /// Never waits. One call searches a bounded part of the history.
    pub fn step(&mut self, budget: usize, out: &mut Vec<Batch>) -> Step {
        // Asking for more means that everything before has been handled.
        let before = self.position;
        self.searching = false;
        let step = self.next(budget, out);
        self.searching |= step == Step::Looking;
        let idle = matches!(step, Step::Idle(_));
        let taken = if idle { self.position } else { before };
        self.progress.set(taken, self.lagging);
        self.shared.backpressure.moved();
        step
    }

    fn next(&mut self, budget: usize, out: &mut Vec<Batch>) -> Step {
        if let Some(error) = self.failed.take() {
            return unreadable(&error);
        }
        if !self.fetched.items.is_empty() {
            return self.take_fetched(budget, out);
        }
        if let Some(visible) = self.selects_until() {
            return self.select_latest(visible);
        }
        if !self.selected.is_empty() {
            return self.read_selected(out);
        }
        let had = out.len();
        let step = self.step_in_memory(budget, out);
        self.filter_since(had, out);
        match step {
            Step::Batches if out.len() == had => Step::Looking,
            step => step,
        }
    }

    fn step_in_memory(&mut self, budget: usize, out: &mut Vec<Batch>) -> Step {
        // QP-7.5, QP-7.8: only complete appends are shown. This is read before the feed, so that
        // whatever the feed then lacks up to here does not match.
        let visible = self.shared.visible();
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
                let rest = batch.after(self.position);
                out.extend(rest.map(|rest| self.shared.batches.hold(rest)));
                self.position = batch.last_seq();
                Step::Batches
            }
            // Handing out the last events after a lag is not another lag.
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

    /// Polls as [`ready`](Self::ready) does, for hand-written futures: the task that polled last is
    /// woken.
    pub fn poll_ready(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.feed
            .poll_ready(self.position, &mut self.waiter, cx.waker())
    }

    /// Returns a batch of this reader in another encoding.
    ///
    /// While the feed holds the batch it is encoded once for all readers of the filter. A batch
    /// that was read from the history, or was changed, is encoded for this reader alone.
    pub fn encoded(&self, batch: &Batch, encoding: Encoding) -> Bytes {
        let epoch = self.shared.lineage.epoch_of(batch.first_seq());
        self.feed.encoded(batch, encoding, epoch)
    }

    /// Handles a fall out of the feed.
    fn lag(&mut self, visible: u64, feed_floor: u64, out: &mut Vec<Batch>) -> Step {
        let after = self.position;
        let reason = match self.on_lag {
            OnLag::Skip => GapReason::Skipped,
            OnLag::Latest => GapReason::Latest,
            OnLag::Disconnect => {
                self.lagging = true;
                return Step::Lagged;
            }
            // Catching up loses nothing, whatever a policy of a later version means.
            _ => return self.read_history(feed_floor, out),
        };
        if visible <= after {
            return Step::Looking;
        }
        self.lagging = true;
        if reason == GapReason::Latest && self.shared.storage.is_some() {
            // The last event of a topic may be older than the memory.
            self.since = Some(HashMap::new());
            self.selected_until = visible;
            return Step::Stored;
        }
        if reason == GapReason::Latest {
            return self.begin_latest(visible);
        }
        self.skip_to(visible);
        Step::Gap(gap(after, visible, reason))
    }

    /// Reads the next of the events that were selected one by one.
    fn read_selected(&mut self, out: &mut Vec<Batch>) -> Step {
        self.lagging = true;
        let state = self.shared.state.lock();
        let (before, topics) = (self.position, &state.topics);
        let step = match state.history.take_selected(topics, &mut self.selected) {
            Selected::Batch(batch) => {
                self.position = batch.last_seq();
                self.searching = u64::from(batch.count()) >= MANY_EVENTS;
                out.push(batch);
                Step::Batches
            }
            Selected::Lost(seq) if seq <= self.reported => Step::Looking,
            Selected::Lost(seq) => {
                self.reported = seq;
                Step::Gap(gap(before, seq, GapReason::Retention))
            }
        };
        if self.selected.is_empty() {
            self.position = self.selected_until;
            (self.selected, self.selected_bytes) = (VecDeque::new(), None);
        }
        step
    }
}

fn gap(after: u64, to: u64, reason: GapReason) -> Gap {
    Gap {
        after,
        to,
        at_most: to - after,
        reason,
    }
}

fn unreadable(error: &StorageError) -> Step {
    let reason = error.to_string();
    Step::Unreadable { reason }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
            self.feed.forget_waiter(waiter);
        }
        self.progress.set(u64::MAX, true);
        self.shared.backpressure.moved();
    }
}
