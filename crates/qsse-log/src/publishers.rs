//! Which publishes of each numbering publisher were taken: so that one that is tried again is not taken twice.
//!
//! A publisher numbers what it publishes. All that has to be known of it is the last number taken: what is at or below was taken, what is
//! above was not. The seqs of the newest ones are kept besides, in runs, to be told again.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::append::Appended;
use crate::config::Config;
use crate::dedup::{BEFORE, Known};
use crate::lineage::Lineage;
use crate::storage::Opened;
use crate::time::Now;

/// Which publisher: a hash of what it is recognised by.
pub type PublisherKey = [u8; 16];

/// Runs kept for one publisher. A publisher that is alone has one run; many that publish at the same time have one for each of their turns.
const RUNS: usize = 64;

/// Publishes with numbers that follow one another, and whose events have seqs that do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The number of the first publish.
    pub number: u64,
    /// How many publishes: each has one event, unless there is one publish only.
    pub count: u32,
    /// The seq of the first event.
    pub first: u64,
    /// How many events. A single publish to a pattern may have any number, 0 included.
    pub events: u32,
}

/// A publisher in one turn of the sequencer: what it is known by, and what is taken in the turn.
///
/// Made by [`Appender::sequence`](crate::Appender::sequence), and handed back by [`Appender::conclude`](crate::Appender::conclude).
#[derive(Clone, Debug)]
pub struct Sequence {
    pub(crate) key: PublisherKey,
    /// The last number before this turn.
    pub(crate) before: Option<u64>,
    /// What was taken in this turn.
    pub(crate) runs: Vec<Run>,
    last: Option<u64>,
    /// What is above the last number was never taken.
    certain: bool,
}

/// What a storage held of a publisher.
#[derive(Clone, Debug)]
pub struct StoredPublisher {
    /// Which one.
    pub key: PublisherKey,
    /// The last number taken.
    pub last: u64,
    /// Whether nothing above that was taken.
    pub certain: bool,
    /// The newest runs, in order.
    pub runs: Vec<Run>,
}

/// The publishers of the window.
#[derive(Default)]
pub(crate) struct Publishers {
    known: HashMap<PublisherKey, Publisher>,
    /// When each was active, or earlier: its entry is looked at again when it comes to the front.
    order: VecDeque<(Duration, PublisherKey)>,
    /// When the last of those was active that are known no more.
    forgotten: Option<Duration>,
}

struct Publisher {
    last: u64,
    certain: bool,
    active: Duration,
    runs: VecDeque<Run>,
}

impl Run {
    /// One publish and its events.
    pub fn new(number: u64, events: Option<Appended>) -> Self {
        let (first, events) = events.map_or((0, 0), |Appended { first, last }| {
            let events = last.seq() + 1 - first.seq();
            (first.seq(), u32::try_from(events).unwrap_or(u32::MAX))
        });
        Self {
            number,
            count: 1,
            first,
            events,
        }
    }

    /// The number of the last publish.
    pub fn last(&self) -> u64 {
        self.number + u64::from(self.count) - 1
    }

    /// The seq behind its last event.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.events)
    }

    /// Takes `next` in, if it goes on where this ends.
    fn join(&mut self, next: Self) -> bool {
        let singles = self.count == self.events && next.count == next.events;
        let count = self.count.checked_add(next.count);
        match count {
            Some(count)
                if singles && next.number == self.last() + 1 && next.first == self.end() =>
            {
                (self.count, self.events) = (count, count);
                true
            }
            _ => false,
        }
    }

    /// What has its events through that seq, and the rest.
    pub(crate) fn split_behind(self, seq: u64) -> (Option<Self>, Option<Self>) {
        if self.end() <= seq + 1 {
            return (Some(self), None);
        }
        let here = (seq + 1).saturating_sub(self.first);
        if here == 0 || self.count == 1 {
            return (None, Some(self));
        }
        // Less than `count`, which has 32 bits.
        let here = here as u32;
        let (mut part, mut rest) = (self, self);
        (part.count, part.events) = (here, here);
        (rest.number, rest.first) = (self.number + u64::from(here), seq + 1);
        (rest.count, rest.events) = (self.count - here, self.count - here);
        (Some(part), Some(rest))
    }

    /// Without what is above a number; `None` if that is all of it.
    fn through(mut self, last: u64) -> Option<Self> {
        let kept = (last + 1)
            .checked_sub(self.number)
            .filter(|kept| *kept > 0)?;
        if kept < u64::from(self.count) {
            (self.count, self.events) = (kept as u32, kept as u32);
        }
        Some(self)
    }

    /// The events of a publish of it.
    fn events_of(&self, number: u64, lineage: &Lineage) -> Option<Appended> {
        let (first, events) = match self.count {
            1 => (self.first, u64::from(self.events)),
            _ => (self.first + (number - self.number), 1),
        };
        Some(Appended {
            first: lineage.id(first),
            last: lineage.id((first + events).checked_sub(1)?),
        })
        .filter(|_| events > 0)
    }
}

impl Sequence {
    /// Notes that the publish of this number was taken. Numbers rise.
    pub fn push(&mut self, number: u64, events: Option<Appended>) {
        add(&mut self.runs, Run::new(number, events));
        (self.last, self.certain) = (Some(number), true);
    }
}

fn add(runs: &mut Vec<Run>, run: Run) {
    if !runs.last_mut().is_some_and(|last| last.join(run)) {
        runs.push(run);
    }
}

impl Publishers {
    /// Begins a turn of a publisher.
    pub(crate) fn sequence(&self, key: PublisherKey) -> Sequence {
        let known = self.known.get(&key);
        Sequence {
            key,
            before: known.map(|known| known.last),
            runs: Vec::new(),
            last: known.map(|known| known.last),
            certain: known.is_some_and(|known| known.certain),
        }
    }

    /// What is known of a publish of this number, first sent `ago` at most if it was perhaps tried before.
    pub(crate) fn judge(
        &self,
        sequence: &Sequence,
        number: u64,
        ago: Option<Duration>,
        now: Duration,
        lineage: &Lineage,
    ) -> Known {
        if sequence.last.is_some_and(|last| number <= last) {
            let known = self.known.get(&sequence.key);
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
        // Had it been taken, its publisher would have been active after this.
        let earliest = (now + BEFORE).checked_sub(ago);
        match earliest.is_some_and(|earliest| earliest > forgotten) {
            true => Known::New,
            false => Known::Unknown,
        }
    }

    /// Ends a turn.
    pub(crate) fn conclude(&mut self, sequence: &Sequence, now: Duration, config: &Config) {
        let Some(last) = sequence.runs.last().map(Run::last) else {
            return;
        };
        let now = now + BEFORE;
        let order = &mut self.order;
        let known = self.known.entry(sequence.key).or_insert_with(|| {
            order.push_back((now, sequence.key));
            Publisher::new(now)
        });
        (known.last, known.certain, known.active) = (last, true, now);
        for run in &sequence.runs {
            known.add(*run);
        }
        self.trim(now - BEFORE, config);
    }

    /// Gives numbers back: what is above `before` was not taken after all.
    pub(crate) fn undo(&mut self, key: PublisherKey, before: Option<u64>) {
        let Some(last) = before else {
            self.known.remove(&key);
            return;
        };
        if let Some(known) = self.known.get_mut(&key) {
            known.last = last;
            while let Some(run) = known.runs.pop_back() {
                if let Some(run) = run.through(last) {
                    known.runs.push_back(run);
                    break;
                }
            }
        }
    }

    /// Takes over the publishers of an earlier process. With `lost` there may have been more, of which nothing was kept.
    pub(crate) fn recover(&mut self, opened: &Opened, now: Now, lost: bool) {
        // As if no time had passed since the last event, as with keys.
        let now = now.monotonic + BEFORE;
        let age = if lost {
            Duration::ZERO
        } else {
            opened.publishers_age
        };
        self.forgotten = Some(now.saturating_sub(age));
        for stored in &opened.publishers {
            let mut publisher = Publisher::new(now);
            (publisher.last, publisher.certain) = (stored.last, stored.certain && !lost);
            stored.runs.iter().for_each(|run| publisher.add(*run));
            self.known.insert(stored.key, publisher);
            self.order.push_back((now, stored.key));
        }
    }

    /// Forgets publishers that were idle for the window, and the most idle ones of too many.
    pub(crate) fn trim(&mut self, now: Duration, config: &Config) {
        let horizon = (now + BEFORE).checked_sub(config.dedup_publisher_window);
        while let Some((noted, key)) = self.order.front().copied() {
            let expired = horizon.is_some_and(|horizon| noted < horizon);
            if !expired && self.known.len() <= config.dedup_publishers {
                return;
            }
            self.order.pop_front();
            match self.known.get(&key) {
                // It was active since: its turn comes later.
                Some(known) if known.active > noted => self.order.push_back((known.active, key)),
                Some(known) => {
                    self.forgotten = self.forgotten.max(Some(known.active));
                    self.known.remove(&key);
                }
                // Its numbers were given back.
                None => {}
            }
        }
    }

    /// How many publishers are known.
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

    fn add(&mut self, run: Run) {
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
