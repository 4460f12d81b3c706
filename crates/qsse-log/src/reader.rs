//! A reader: one position in the log, and the next step from there.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use qsse_proto::EventId;
use qsse_proto::batch::Batch;
use qsse_proto::control::{OnLag, Start};
use qsse_proto::stream::{Gap, GapReason, Outcome};
use qsse_topic::Filter;

use crate::encoding::Encoding;
use crate::feed::{Feed, Taken};
use crate::history::Selected;
use crate::log::{Log, State};

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
        })
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
        if !self.selected.is_empty() {
            return self.read_selected(out);
        }
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

    fn read_history(&mut self, feed_floor: u64, out: &mut Vec<Batch>) -> Step {
        self.lagging = true;
        let state = self.log.shared().state.lock();
        let after = self.position.max(self.told);
        let filter = self.feed.filter();
        let lost = state.topics.lost(filter, after).min(feed_floor);
        if lost > after {
            self.told = lost;
            let reason = if self.caught_up {
                GapReason::Lag
            } else {
                GapReason::Retention
            };
            return gap(after, lost, reason);
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
    let floor = state.history.floor();
    let at = |position, outcome| Begin {
        position,
        outcome,
        selected: VecDeque::new(),
    };
    let known = |id: EventId| id.epoch() == log.epoch() && id.seq() <= head;
    // Whether a matching event behind this position is gone.
    let after = |position| {
        let lost = state.topics.lost(filter, position).min(feed_floor);
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
    Step::Gap(Gap {
        after,
        to,
        at_most: to - after,
        reason,
    })
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.feed.leave();
    }
}
