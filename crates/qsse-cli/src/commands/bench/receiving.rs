//! Subscribers: each takes what comes, and knows what is missing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use qsse_client::{Event, Filter, Subscription, SubscriptionError};

use super::clock::Clock;
use super::figures::Figures;
use super::payload::Payload;
use super::plan::Plan;
use super::publishing::AllSent;
use super::sequence::{Seen, Sequence};

/// What all subscribers have in common.
pub(super) struct Reception {
    pub(super) clock: Clock,
    /// The load whose events count; `None` takes those of all, from other programs.
    pub(super) run: Option<u64>,
    pub(super) figures: Figures,
    /// Events that came for the first time, before and after the warm-up.
    pub(super) total: AtomicU64,
}

/// What came to one subscriber.
#[derive(Default)]
pub(super) struct Received {
    /// By load and source.
    sequences: BTreeMap<(u64, u32), Sequence>,
    tally: Tally,
}

/// What was not as it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Acknowledged, and never came.
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    /// Came after one with a higher number.
    pub(super) misordered: u64,
    /// Gaps, resets and losses that the subscription told.
    pub(super) told: u64,
    /// Events that are not of this load.
    pub(super) foreign: u64,
}

impl Tally {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            misordered: self.misordered + other.misordered,
            told: self.told + other.told,
            foreign: self.foreign + other.foreign,
        }
    }
}

/// Takes what comes until the subscription ends; tells why it did.
pub(super) async fn receive(
    mut subscription: Subscription,
    index: usize,
    reception: Arc<Reception>,
    received: Arc<Mutex<Received>>,
) -> Option<SubscriptionError> {
    loop {
        let next = subscription.next().await?;
        let now = reception.clock.now();
        let mut received = received.lock().expect("receiving does not panic");
        match next {
            Ok(event) => received.event(&event, index, now, &reception),
            Err(error) if error.is_terminal() => return Some(error),
            Err(_) => received.tally.told += 1,
        }
    }
}

impl Received {
    fn event(&mut self, event: &Event, index: usize, now: u64, reception: &Reception) {
        let payload = Payload::read(event.data());
        let payload = payload.filter(|payload| reception.run.is_none_or(|run| run == payload.run));
        let Some(Payload {
            source,
            run,
            number,
            due,
        }) = payload
        else {
            self.tally.foreign += 1;
            return;
        };
        // Of another program's load only what comes from now on can be missed.
        let first = if reception.run.is_some() { 0 } else { number };
        let sequence = self.sequences.entry((run, source));
        match sequence
            .or_insert_with(|| Sequence::from(first))
            .see(number)
        {
            Seen::InOrder => {}
            Seen::Late => self.tally.misordered += 1,
            Seen::Twice => {
                self.tally.duplicated += 1;
                return;
            }
        }
        reception.total.fetch_add(1, Ordering::Relaxed);
        // The times of other machines are not ours.
        let at = if reception.run.is_some() { due } else { now };
        if at >= reception.clock.from {
            reception.figures.record(index, due, now);
        }
    }

    /// What was not as it should be, knowing what was sent.
    pub(super) fn tally(&self, filter: &Filter, plan: &Plan, run: u64, sent: &AllSent) -> Tally {
        let none = Sequence::from(0);
        let of_ours = sent
            .iter()
            .filter(|(source, _)| filter.matches(plan.topic(**source)));
        let ours: u64 = of_ours
            .map(|(source, sent)| {
                let sequence = self.sequences.get(&(run, *source)).unwrap_or(&none);
                let missing = sequence.missing(Some(sent.end));
                let lost = missing.map(|(from, to)| {
                    to - from - sent.unacknowledged.range(from..to).count() as u64
                });
                lost.sum::<u64>()
            })
            .sum();
        let others = self.sequences.iter().filter(|((of, _), _)| *of != run);
        let theirs: u64 = others
            .flat_map(|(_, sequence)| sequence.missing(None))
            .map(|(from, to)| to - from)
            .sum();
        Tally {
            lost: ours + theirs,
            ..self.tally
        }
    }
}

/// How many deliveries there should be in all.
pub(super) fn expected(plan: &Plan, sent: &AllSent) -> u64 {
    let to_each = |filter: &Filter| {
        let of_ours = sent
            .iter()
            .filter(|(source, _)| filter.matches(plan.topic(**source)));
        let acknowledged = of_ours.map(|(_, sent)| sent.end - sent.unacknowledged.len() as u64);
        acknowledged.sum::<u64>()
    };
    plan.filters.iter().map(to_each).sum()
}
