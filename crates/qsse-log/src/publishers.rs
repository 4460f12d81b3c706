//! [`Publishers`]: the last numbers of publishers, by which repetitions are recognised.
//!
//! A publisher numbers its publishes. The last number that was taken decides: publishes up to it
//! were taken, later ones were not. The seqs of the newest publishes are remembered as runs, so
//! that a repetition gets the id of the first.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::config::Config;
use crate::event::Appended;
use crate::key::Known;
use crate::lineage::Lineage;
use crate::publisher::{PublisherId, PublisherRun};
use crate::storage::Recovered;
use crate::time::{BEFORE, Now};

/// Most runs of one publisher. A publisher that is alone has one run. If many publish at the same
/// time, each has a run for each of its turns.
const RUNS: usize = 64;

/// One turn of a publisher at the sequencer: what is known of it, and what it publishes in the
/// turn.
///
/// [`Appender::sequence`](crate::Appender::sequence) creates it, and
/// [`Appender::conclude`](crate::Appender::conclude) takes it back.
#[derive(Clone, Debug)]
pub struct Sequence {
    pub(crate) id: PublisherId,
    /// The last number before this turn.
    pub(crate) before: Option<u64>,
    /// The publishes of this turn.
    pub(crate) runs: Vec<PublisherRun>,
    last: Option<u64>,
    /// Whether it is certain that no publish after the last number was taken.
    certain: bool,
}

/// The publishers of the window.
#[derive(Default)]
pub(crate) struct Publishers {
    known: HashMap<PublisherId, Publisher>,
    /// When each publisher was active, or an earlier time: it is checked again when it comes to the
    /// front.
    order: VecDeque<(Duration, PublisherId)>,
    /// When the last of the forgotten publishers was active.
    forgotten: Option<Duration>,
}

struct Publisher {
    last: u64,
    certain: bool,
    active: Duration,
    runs: VecDeque<PublisherRun>,
}

impl Sequence {
    /// Records that the publish with this number was taken. Numbers rise.
    pub fn push(&mut self, number: u64, events: Option<Appended>) {
        add(&mut self.runs, PublisherRun::new(number, events));
        (self.last, self.certain) = (Some(number), true);
    }
}

fn add(runs: &mut Vec<PublisherRun>, run: PublisherRun) {
    if !runs.last_mut().is_some_and(|last| last.join(run)) {
        runs.push(run);
    }
}

impl Publishers {
    /// Begins a turn of a publisher.
    pub(crate) fn sequence(&self, id: PublisherId) -> Sequence {
        let known = self.known.get(&id);
        Sequence {
            id,
            before: known.map(|known| known.last),
            runs: Vec::new(),
            last: known.map(|known| known.last),
            certain: known.is_some_and(|known| known.certain),
        }
    }

    /// Looks up the publish with this number. `ago` is an upper bound of the time since the first
    /// attempt, if this may be a retry.
    pub(crate) fn judge(
        &self,
        sequence: &Sequence,
        number: u64,
        ago: Option<Duration>,
        now: Duration,
        lineage: &Lineage,
    ) -> Known {
        if sequence.last.is_some_and(|last| number <= last) {
            let known = self.known.get(&sequence.id);
            let earlier = known.into_iter().flat_map(|known| &known.runs);
            let mut runs = sequence.runs.iter().rev().chain(earlier.rev());
            let run = runs.find(|run| (run.number..=run.last()).contains(&number));
            return match run {
                Some(run) => Known::Taken(run.events_of(number, lineage)),
                None => Known::TakenLongAgo,
            };
        }
        let (Some(ago), Some(forgotten), false) = (ago, self.forgotten, sequence.certain) else {
            return Known::New;
        };
        // If it was taken, its publisher was active after this.
        let earliest = (now + BEFORE).checked_sub(ago);
        match earliest.is_some_and(|earliest| earliest > forgotten) {
            true => Known::New,
            false => Known::Unknown,
        }
    }

    /// Ends a turn.
    pub(crate) fn conclude(&mut self, sequence: &Sequence, now: Duration, config: &Config) {
        let Some(last) = sequence.runs.last().map(PublisherRun::last) else {
            return;
        };
        let now = now + BEFORE;
        let order = &mut self.order;
        let known = self.known.entry(sequence.id).or_insert_with(|| {
            order.push_back((now, sequence.id));
            Publisher::new(now)
        });
        (known.last, known.certain, known.active) = (last, true, now);
        for run in &sequence.runs {
            known.add(*run);
        }
        self.trim(now - BEFORE, config);
    }

    /// Forgets the publishes after number `before`, because they were given up.
    pub(crate) fn undo(&mut self, id: PublisherId, before: Option<u64>) {
        let Some(last) = before else {
            self.known.remove(&id);
            return;
        };
        if let Some(known) = self.known.get_mut(&id) {
            known.last = last;
            while let Some(run) = known.runs.pop_back() {
                if let Some(run) = run.through(last) {
                    known.runs.push_back(run);
                    break;
                }
            }
        }
    }

    /// Recovers the publishers of an earlier process. `lost` says that there may have been other
    /// publishes, which were not stored.
    pub(crate) fn recover(&mut self, recovered: &Recovered, now: Now, lost: bool) {
        // Counts as if no time has passed since the last event, as for keys.
        let now = now.monotonic + BEFORE;
        let age = if lost {
            Duration::ZERO
        } else {
            recovered.publishers_age
        };
        self.forgotten = Some(now.saturating_sub(age));
        for stored in &recovered.publishers {
            let mut publisher = Publisher::new(now);
            (publisher.last, publisher.certain) = (stored.last, stored.certain && !lost);
            stored.runs.iter().for_each(|run| publisher.add(*run));
            self.known.insert(stored.id, publisher);
            self.order.push_back((now, stored.id));
        }
    }

    /// Forgets publishers that were idle for the whole window, and the most idle ones of too many.
    pub(crate) fn trim(&mut self, now: Duration, config: &Config) {
        let horizon = (now + BEFORE).checked_sub(config.dedup_publisher_window);
        while let Some((noted, id)) = self.order.front().copied() {
            let expired = horizon.is_some_and(|horizon| noted < horizon);
            if !expired && self.known.len() <= config.dedup_publishers {
                return;
            }
            self.order.pop_front();
            match self.known.get(&id) {
                // It has been active since, so it is checked again later.
                Some(known) if known.active > noted => self.order.push_back((known.active, id)),
                Some(known) => {
                    self.forgotten = self.forgotten.max(Some(known.active));
                    self.known.remove(&id);
                }
                // All of its publishes were given up.
                None => {}
            }
        }
    }

    /// Returns the number of publishers.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

impl Publisher {
    fn new(active: Duration) -> Self {
        Self {
            last: 0,
            certain: true,
            active,
            runs: VecDeque::new(),
        }
    }

    fn add(&mut self, run: PublisherRun) {
        if self.runs.back_mut().is_some_and(|last| last.join(run)) {
            return;
        }
        if self.runs.len() == RUNS {
            self.runs.pop_front();
        }
        self.runs.push_back(run);
    }
}

#[cfg(test)]
mod tests;
