//! A reader: one position in the log, and the next step from there.

use std::sync::Arc;

use bytes::Bytes;
use qsse_proto::EventId;
use qsse_proto::batch::Batch;
use qsse_proto::control::Start;
use qsse_proto::stream::{Gap, GapReason, Outcome};
use qsse_topic::Filter;

use crate::encoding::Encoding;
use crate::feed::{Feed, Taken};
use crate::log::Log;

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
    lagging: bool,
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
    /// Everything up to this event has been handed out: wait for [`Reader::ready`].
    Idle(EventId),
}

/// Why a reader could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// This version has no such start position.
    #[error("starting {0} is not supported yet: start live, earliest or after an event id")]
    Unsupported(&'static str),
}

impl Reader {
    pub(crate) fn open(log: &Log, filter: &Filter, start: Start) -> Result<Self, StartError> {
        let mut state = log.shared().state.lock();
        let head = state.head;
        let history_floor = state.history.floor();
        let feed = state.feeds.open(filter, head, log.config());
        let oldest = feed.join().min(history_floor);
        let known = |id: EventId| id.epoch() == log.epoch() && id.seq() <= head;
        let begun = match start {
            Start::Live => Ok((head, Outcome::Live)),
            Start::Earliest => Ok((history_floor, Outcome::Resumed)),
            Start::After(id) if !known(id) => Ok((history_floor, Outcome::Reset)),
            Start::After(id) if id.seq() < oldest => Ok((id.seq(), Outcome::Gap)),
            Start::After(id) => Ok((id.seq(), Outcome::Resumed)),
            Start::Since(_) => Err(StartError::Unsupported("at a time")),
            Start::Last(_) => Err(StartError::Unsupported("with the last events")),
            _ => Err(StartError::Unsupported("there")),
        };
        match begun {
            Ok((position, outcome)) => {
                drop(state);
                let started = EventId::new(log.epoch(), position);
                Ok(Self {
                    log: log.clone(),
                    feed,
                    position,
                    started,
                    outcome,
                    lagging: false,
                })
            }
            Err(error) => {
                feed.leave();
                Err(error)
            }
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

    /// True while the reader is behind its feed and reads from the history.
    pub fn is_lagging(&self) -> bool {
        self.lagging
    }

    /// The next step, adding to `out` batches of about `budget` bytes.
    ///
    /// Never waits. One call looks at a bounded part of the history.
    pub fn step(&mut self, budget: usize, out: &mut Vec<Batch>) -> Step {
        // QP-7.5, QP-7.8: nothing beyond what is complete is shown. Read before the feed: what the feed then lacks does not match, up to here.
        let visible = self.log.visible();
        match self.feed.take(self.position, budget, out) {
            Taken::Batches => {
                self.lagging = false;
                self.position = out.last().map_or(self.position, Batch::last_seq);
                Step::Batches
            }
            Taken::Inside(batch) => {
                self.lagging = false;
                out.extend(batch.after(self.position));
                self.position = batch.last_seq();
                Step::Batches
            }
            Taken::Below { floor } => self.read_history(floor, out),
            Taken::Nothing => {
                self.lagging = false;
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

    fn read_history(&mut self, upto: u64, out: &mut Vec<Batch>) -> Step {
        self.lagging = true;
        let state = self.log.shared().state.lock();
        let (after, floor) = (self.position, state.history.floor());
        if after < floor {
            self.position = floor;
            let (at_most, reason) = (floor - after, GapReason::Retention);
            return Step::Gap(Gap {
                after,
                to: floor,
                at_most,
                reason,
            });
        }
        let read = state
            .history
            .read(self.feed.filter(), &state.topics, after, upto);
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

impl Drop for Reader {
    fn drop(&mut self) {
        self.feed.leave();
    }
}
