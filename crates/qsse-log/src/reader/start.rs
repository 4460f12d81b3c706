//! Where a reading begins.

use std::collections::VecDeque;
use std::time::Duration;

use qsse_proto::EventId;
use qsse_proto::control::{OnLag, Start};
use qsse_proto::stream::Outcome;
use qsse_topic::Filter;

use super::{Fetched, Reader};
use crate::contained::contained;
use crate::feed::Feed;
use crate::log::{Log, State};
use crate::storage::StorageError;

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
    /// The storage did not tell where that is: it may the next time.
    #[error("the store could not be read: {reason}")]
    Unreadable {
        /// What it said.
        reason: String,
    },
    /// This version has no such start position.
    #[error("this version does not know that start position")]
    Unknown,
}

/// Events that one start, or one lag, may select: 8 MiB of seqs.
pub(super) const SELECTED: usize = 1 << 20;

/// How long a start waits for what readers have seen to be written.
const WRITTEN: Duration = Duration::from_secs(10);

/// How long a start waits for each answer of the storage.
const ANSWERED: Duration = Duration::from_secs(10);

/// Where a reading begins.
struct Begin {
    position: u64,
    outcome: Outcome,
    selected: VecDeque<u64>,
    /// Up to here the feed is not looked at: it still has what rules have let go of.
    past_until: u64,
}

impl Reader {
    pub(crate) fn open(
        log: &Log,
        filter: &Filter,
        start: Start,
        on_lag: OnLag,
    ) -> Result<Self, StartError> {
        let mut state = log.shared().state.lock();
        // What a storage has not kept yet may never be: it is of no account.
        let head = log.visible().seq();
        let feed = state.feeds.open(filter, head, log.config());
        let feed_floor = feed.join();
        let begun = begin(&state, log, (&feed, feed_floor), start, head);
        drop(state);
        let begin = match begun {
            Ok(begin) => begin,
            Err(error) => {
                feed.leave(None);
                return Err(error);
            }
        };
        let progress = feed.progress.add();
        progress.set(begin.position, false);
        Ok(Self {
            log: log.clone(),
            feed,
            position: begin.position,
            started: log.lineage().id(begin.position),
            outcome: begin.outcome,
            on_lag,
            caught_up: false,
            lagging: false,
            past_until: begin.past_until,
            told: 0,
            selected: begin.selected,
            selected_until: head,
            since: None,
            failed: None,
            fetched: Fetched::default(),
            progress,
            place: None,
        })
    }

    /// Finds starts that only the storage knows.
    pub(crate) async fn find_start(&mut self, start: Start) -> Result<(), StartError> {
        let Some(storage) = self.log.storage().cloned() else {
            return Ok(());
        };
        let filter = self.feed.filter().clone();
        let position = match start {
            Start::Since(time) => {
                let (in_memory, until) = {
                    let state = self.log.shared().state.lock();
                    (state.history.before(time), state.wall.latest())
                };
                match in_memory {
                    Some(position) => position,
                    None => read(storage.seq_at(time, until)).await?.saturating_sub(1),
                }
            }
            Start::Last(n) => {
                let until = self.selected_until;
                if !self.log.is_stored_first() {
                    // What was shown and has left memory may not be written yet. A disk that is full keeps nobody waiting for ever.
                    let _ = tokio::time::timeout(WRITTEN, self.log.flush()).await;
                }
                // What is gone already is not among the last ones, so it is not missing.
                self.told = storage.floor(&filter, 0);
                let tail = read(storage.tail(filter.clone(), u64::from(n), until)).await?;
                let n = usize::try_from(n).unwrap_or(usize::MAX);
                let tail = self.with_memory(tail, n, until);
                if tail.len() > SELECTED {
                    return Err(StartError::TooMany { most: SELECTED });
                }
                let first = tail.values().map(|seq| seq.saturating_sub(1)).min();
                self.since = (!tail.is_empty()).then_some(tail);
                first.unwrap_or(until)
            }
            _ => return Ok(()),
        };
        self.position = position.min(self.selected_until);
        self.started = self.log.lineage().id(self.position);
        if matches!(start, Start::Since(_)) {
            self.past_until = self.selected_until;
            let lost = storage.floor(&filter, self.position);
            if lost.min(self.past_until) > self.position {
                self.outcome = Outcome::Gap;
            }
        }
        Ok(())
    }
}

/// What the storage answers, if it does so in time: a disk that hangs keeps nobody waiting for ever either.
async fn read<T>(call: impl Future<Output = Result<T, StorageError>>) -> Result<T, StartError> {
    let answer = tokio::time::timeout(ANSWERED, contained(call)).await;
    let answer = answer.unwrap_or_else(|_| Err(StorageError::silent(ANSWERED)));
    answer.map_err(|error| StartError::Unreadable {
        reason: error.to_string(),
    })
}

/// Where `start` is.
fn begin(
    state: &State,
    log: &Log,
    (feed, feed_floor): (&Feed, u64),
    start: Start,
    head: u64,
) -> Result<Begin, StartError> {
    let filter = feed.filter();
    let floor = match log.storage() {
        Some(storage) => storage.oldest(),
        None => state.history.floor(),
    };
    let at = |position, outcome| Begin {
        position,
        outcome,
        selected: VecDeque::new(),
        past_until: 0,
    };
    let known = |id: EventId| log.lineage().knows(id, head);
    // Whether a matching event behind this position is gone, where the feed is looked at from `feed_floor` on.
    let until = |position, feed_floor| {
        let lost = log.lost(state, filter, position).min(feed_floor);
        let outcome = match lost > position {
            true => Outcome::Gap,
            false => Outcome::Resumed,
        };
        at(position, outcome)
    };
    // Who goes on gets what the feed has, who begins in the past what is kept.
    let after = |position| until(position, feed_floor);
    let past = |position| Begin {
        past_until: head,
        ..until(position, head)
    };
    Ok(match start {
        Start::Live => at(head, Outcome::Live),
        Start::Earliest => past(floor),
        Start::After(id) if !known(id) => Begin {
            outcome: Outcome::Reset,
            ..past(floor)
        },
        Start::After(id) => after(id.seq()),
        // The storage is asked later.
        Start::Since(_) | Start::Last(_) if log.storage().is_some() => at(head, Outcome::Resumed),
        Start::Since(time) => match state.history.before(time) {
            Some(position) => past(position),
            // Some of that time are gone. How many is not known any more, unless the feed reaches back to before them, and times
            // only rise.
            None if state.wall.went_back() => after(0),
            None => after(feed.before(time).unwrap_or_default()),
        },
        Start::Last(n) => {
            let n = usize::try_from(n).unwrap_or(usize::MAX);
            let selected = state
                .topics
                .last_seqs(filter, n, (0, head), SELECTED)
                .ok_or(StartError::TooMany { most: SELECTED })?;
            let position = selected.front().map_or(head, |first| first - 1);
            Begin {
                position,
                outcome: Outcome::Resumed,
                selected,
                past_until: 0,
            }
        }
        _ => return Err(StartError::Unknown),
    })
}
