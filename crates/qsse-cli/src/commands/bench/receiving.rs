//! Subscribers: each counts what it receives, and knows what is missing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use qsse_client::{Event, EventId, Filter, Item, Subscription, SubscriptionError};

use super::clock::Clock;
use super::figures::Figures;
use super::payload::Payload;
use super::plan::Plan;
use super::publishing::AllSent;
use super::sequence::Sequence;

/// What all subscribers share.
pub(super) struct Reception {
    pub(super) clock: Clock,
    /// The load whose events count. `None` counts those of all loads of other programs.
    pub(super) run: Option<u64>,
    pub(super) figures: Figures,
    /// How many events were received for the first time, including the warm-up.
    pub(super) total: AtomicU64,
}

/// What one subscriber has received.
#[derive(Default)]
pub(super) struct Received {
    /// The numbers by load and source.
    sequences: BTreeMap<(u64, u32), Sequence>,
    /// The last event that was handed out.
    last: Option<EventId>,
    tally: Tally,
}

/// Everything that went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Acknowledged events that were not received.
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    /// Events that were handed out after a later event of the server's log.
    pub(super) misordered: u64,
    /// Gaps, resets and losses that the subscription reported.
    pub(super) told: u64,
    /// Events that do not belong to this load.
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

/// Receives until the subscription ends. Returns its error, if any.
pub(super) async fn receive(
    mut subscription: Subscription,
    index: usize,
    reception: Arc<Reception>,
    received: Arc<Mutex<Received>>,
) -> Option<SubscriptionError> {
    loop {
        let item = subscription.next_item().await?;
        let now = reception.clock.now();
        let mut received = received.lock().expect("receiving does not panic");
        match item {
            Ok(Item::Event(event)) => received.event(&event, index, now, &reception),
            Ok(Item::Notice(_)) => received.tally.told += 1,
            Err(error) => return Some(error),
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
        // For another program's load, only events from now on can be missed.
        let first = if reception.run.is_some() { 0 } else { number };
        let sequence = self.sequences.entry((run, source));
        if !sequence
            .or_insert_with(|| Sequence::from(first))
            .see(number)
        {
            self.tally.duplicated += 1;
            return;
        }
        let id = event.id();
        let before = self.last.replace(id);
        if before.is_some_and(|before| before.epoch() == id.epoch() && before.seq() > id.seq()) {
            self.tally.misordered += 1;
        }
        reception.total.fetch_add(1, Ordering::Relaxed);
        // The times of other machines are by other clocks.
        let at = if reception.run.is_some() { due } else { now };
        if at >= reception.clock.from {
            reception.figures.record(index, due, now);
        }
    }

    /// Returns what went wrong, compared with what was sent.
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

/// Returns how many deliveries there should be in all.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use qsse_client::{Epoch, Kind, Pattern, Timestamp, Topic};

    use super::super::publishing::Sent;
    use super::*;

    const RUN: u64 = 7;

    fn reception(run: Option<u64>) -> Reception {
        Reception {
            clock: Clock::start(Duration::ZERO, Duration::from_secs(1)),
            run,
            figures: Figures::new(),
            total: AtomicU64::new(0),
        }
    }

    /// Returns an event at this position in the log, with this number of a load.
    fn event(seq: u64, run: u64, number: u64) -> Event {
        let mut data = [0; 40];
        let due = u64::MAX;
        Payload {
            source: 0,
            run,
            number,
            due,
        }
        .write(&mut data);
        Event::new(
            EventId::new(Epoch::new(1), seq),
            Topic::new("bench").unwrap(),
            Kind::MESSAGE,
            Timestamp::from_micros(0),
            data.to_vec().into(),
        )
    }

    fn tally(
        run: Option<u64>,
        events: &[(u64, u64, u64)],
        sent: u64,
        unacknowledged: &[u64],
    ) -> (Tally, u64) {
        let reception = reception(run);
        let mut received = Received::default();
        for (seq, run, number) in events {
            received.event(&event(*seq, *run, *number), 0, 0, &reception);
        }
        let filter = Filter::new([Pattern::new("bench").unwrap()]).unwrap();
        let plan = Plan {
            topics: vec![Topic::new("bench").unwrap()],
            filters: vec![filter.clone()],
            publishers: 1,
            size: 40,
        };
        let unacknowledged = unacknowledged.iter().copied().collect();
        let sent = AllSent::from([(
            0,
            Sent {
                end: sent,
                unacknowledged,
            },
        )]);
        (
            received.tally(&filter, &plan, RUN, &sent),
            reception.total.into_inner(),
        )
    }

    #[test]
    fn only_what_was_acknowledged_and_never_came_is_lost() {
        let none = Tally::default();
        let came = [(1, RUN, 0), (2, RUN, 3), (5, RUN, 1)];
        assert_eq!(tally(Some(RUN), &came, 4, &[2]), (none, 3));
        assert_eq!(
            tally(Some(RUN), &came, 6, &[2]),
            (Tally { lost: 2, ..none }, 3)
        );
        assert_eq!(
            tally(Some(RUN), &[], 6, &[]),
            (Tally { lost: 6, ..none }, 0)
        );
    }

    #[test]
    fn what_comes_twice_out_of_order_or_from_elsewhere_is_told_apart() {
        let came = [
            (1, RUN, 0),
            (3, RUN, 2),
            (2, RUN, 1),
            (3, RUN, 2),
            (4, 8, 0),
        ];
        let expected = Tally {
            duplicated: 1,
            misordered: 1,
            foreign: 1,
            ..Tally::default()
        };
        assert_eq!(tally(Some(RUN), &came, 3, &[]), (expected, 3));
    }

    #[test]
    fn of_other_programs_loads_the_holes_are_lost() {
        let came = [(1, 8, 10), (2, 9, 5), (3, 8, 13)];
        let expected = Tally {
            lost: 2,
            ..Tally::default()
        };
        assert_eq!(tally(None, &came, 0, &[]), (expected, 3));
    }
}
