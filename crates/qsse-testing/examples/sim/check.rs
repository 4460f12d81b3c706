//! What can be said only at the end: nothing is missing, and no gap was told in vain.

use std::collections::{BTreeMap, BTreeSet};

use qsse_client::GapReason;
use qsse_topic::TopicRef;

use crate::model::{Began, Known, Model, Reading, Stay, Told};
use crate::program::StoreKind;
use crate::world::log_of;

/// An event: seq, topic, what is known of it, and whether its reader could read it all the time.
type Match<'m> = (u64, &'m str, &'m Known, bool);

impl Model {
    /// Everything that has to hold once nothing happens any more.
    pub(crate) fn check_end(&mut self, complete: bool) {
        let mut faults = Vec::new();
        for reading in &self.readings {
            for stay in &reading.stays {
                self.check_stay(reading, stay, &mut faults);
            }
        }
        self.check_publishes(complete, &mut faults);
        self.check_order(&mut faults);
        self.check_keys(&mut faults);
        self.check_times(&mut faults);
        faults.into_iter().for_each(|text| self.fault(text));
    }

    fn check_stay(&self, reading: &Reading, stay: &Stay, faults: &mut Vec<String>) {
        let name = &reading.name;
        let matching = self.matching(reading, stay, stay.upto.max(stay.from));
        let seen: BTreeSet<u64> = stay.seen.iter().copied().collect();
        let from = self.first_wanted(reading, stay, &matching, &seen, faults);
        for (seq, topic, known, _) in matching.iter().filter(|(.., must)| *must) {
            let wanted = from.get(*topic).copied().unwrap_or(stay.from) < *seq;
            let covered = stay.gaps.iter().any(|(after, to, reason)| {
                let within = after < seq && seq <= to;
                within && (*reason != GapReason::Damaged || self.at_risk(stay.epoch, *seq))
            });
            if wanted && !seen.contains(seq) && !covered {
                faults.push(format!(
                    "{name} missed seq {seq} on {topic} (publish {:?}) in silence: it went from {} to {} ({:?}), gaps {:?}",
                    known.publish, stay.from, stay.upto, stay.began, stay.gaps
                ));
            }
            if *seq <= stay.from
                && let Some(publish) = known.publish
                && self.publishes[publish].begun > stay.confirmed
            {
                faults.push(format!(
                    "{name} begins after seq {}, and seq {seq} was published once it was confirmed",
                    stay.from
                ));
            }
        }
        self.check_gaps(reading, stay, &matching, &seen, faults);
    }

    /// What of a log, up to a seq, a reading is about.
    fn matching(&self, reading: &Reading, stay: &Stay, upto: u64) -> Vec<Match<'_>> {
        let of_log = self.events.range((stay.epoch, 0)..=(stay.epoch, upto));
        let matching = of_log.filter_map(|((_, seq), known)| {
            let topic = known.topic.as_deref()?;
            let matches = TopicRef::new(topic).is_ok_and(|topic| reading.filter.matches(topic));
            let must = self.must_get(reading, stay, (*seq, topic), known);
            matches.then_some((*seq, topic, known, must))
        });
        matching.collect()
    }

    /// By topic, after which seq everything is wanted, where that is not from the stay's beginning on.
    fn first_wanted<'m>(
        &'m self,
        reading: &Reading,
        stay: &Stay,
        matching: &[Match<'m>],
        seen: &BTreeSet<u64>,
        faults: &mut Vec<String>,
    ) -> BTreeMap<&'m str, u64> {
        let name = &reading.name;
        let keeps_all = self.setting.keeps_all();
        match stay.began {
            Began::Live { acked } if stay.from < acked => faults.push(format!(
                "{name} is live from seq {}, and {acked} was acknowledged before",
                stay.from
            )),
            Began::Earliest | Began::Reset if keeps_all => {
                for (seq, topic, _, must) in matching {
                    if *seq <= stay.from && *must && !self.at_risk(stay.epoch, *seq) {
                        faults.push(format!(
                            "{name} begins with the oldest event after seq {}, without seq {seq} on {topic}",
                            stay.from
                        ));
                    }
                }
            }
            Began::Since { time, acked } => {
                for (seq, topic, known, must) in matching {
                    let Some(of_event) = known.time else {
                        continue;
                    };
                    if of_event < time && *seq <= acked && seen.contains(seq) {
                        faults.push(format!(
                            "{name} saw seq {seq}, which is older than it asked for"
                        ));
                    }
                    if of_event >= time
                        && *seq <= stay.from
                        && keeps_all
                        && *must
                        && !self.at_risk(stay.epoch, *seq)
                    {
                        faults.push(format!(
                            "{name} begins after seq {}, without seq {seq} on {topic}, which is of the time asked for",
                            stay.from
                        ));
                    }
                }
            }
            Began::Last { n, acked, head } => {
                let old: Vec<_> = matching
                    .iter()
                    .filter(|(seq, ..)| *seq <= acked && seen.contains(seq))
                    .collect();
                for (_, topic, ..) in &old {
                    let count = old.iter().filter(|(_, other, ..)| other == topic).count();
                    if count > n as usize && !self.disturbed {
                        faults.push(format!(
                            "{name} asked for the last {n} of each topic and got {count} on {topic}"
                        ));
                    }
                }
                let risk = |seq| self.at_risk(stay.epoch, seq);
                return last_wanted(
                    n,
                    head,
                    keeps_all && self.steady(reading, stay),
                    &self.matching(reading, stay, u64::MAX),
                    risk,
                );
            }
            _ => {}
        }
        BTreeMap::new()
    }

    fn check_gaps(
        &self,
        reading: &Reading,
        stay: &Stay,
        matching: &[Match<'_>],
        seen: &BTreeSet<u64>,
        faults: &mut Vec<String>,
    ) {
        let name = &reading.name;
        for (after, to, reason) in &stay.gaps {
            if stay.upto < *to {
                continue;
            }
            let within = |seq: u64| *after < seq && seq <= *to;
            if *reason == GapReason::Latest {
                let last: BTreeMap<&str, (u64, bool)> = matching
                    .iter()
                    .filter(|(seq, ..)| within(*seq))
                    .map(|(seq, topic, _, must)| (*topic, (*seq, *must)))
                    .collect();
                for (topic, (seq, _)) in last.into_iter().filter(|(_, (_, must))| *must) {
                    let other = stay.gaps.iter().any(|(after, to, reason)| {
                        *reason != GapReason::Latest && *after < seq && seq <= *to
                    });
                    let kept = self.setting.keeps_all() && !self.at_risk(stay.epoch, seq);
                    if kept && !other && !seen.contains(&seq) {
                        faults.push(format!(
                            "{name} lagged from {after} to {to} and did not get the last event on {topic}, seq {seq}"
                        ));
                    }
                }
            }
            if matches!(reason, GapReason::Retention | GapReason::Lag) {
                let all_known = (after + 1..=*to).all(|seq| {
                    (self.events.get(&(stay.epoch, seq))).is_some_and(|k| k.topic.is_some())
                });
                let gone = self
                    .events
                    .range((stay.epoch, after + 1)..=(stay.epoch, u64::MAX))
                    .any(|((_, seq), known)| {
                        let topic = known.topic.as_deref().unwrap_or_default();
                        let matches =
                            TopicRef::new(topic).is_ok_and(|topic| reading.filter.matches(topic));
                        let missing = within(*seq) && !seen.contains(seq);
                        matches && (missing || self.may_be_let_go(stay.epoch, *seq, topic))
                    });
                if all_known && !gone && !self.was_full {
                    faults.push(format!(
                        "{name} was told of a gap from {after} to {to}, and nothing is missing there"
                    ));
                }
            }
        }
    }

    /// Whether so much has come after an event that retention may have let go of it. Where that is so of any event that matches,
    /// a gap is in order: how far back it reaches is kept by topic, not by event.
    fn may_be_let_go(&self, epoch: u64, seq: u64, topic: &str) -> bool {
        let later = || self.events.range((epoch, seq + 1)..=(epoch, u64::MAX));
        let of_topic = || later().filter(|(_, known)| known.topic.as_deref() == Some(topic));
        let most = match self.setting.store {
            StoreKind::None => self.setting.history_events,
            _ => self.setting.store_events,
        };
        let by_topic = self
            .setting
            .topic_events
            .filter(|_| topic.starts_with("a."));
        most.is_some_and(|most| later().count() as u64 >= most)
            || by_topic.is_some_and(|most| of_topic().count() as u64 >= most)
    }

    fn check_publishes(&self, complete: bool, faults: &mut Vec<String>) {
        for (number, publish) in self.publishes.iter().enumerate() {
            self.check_known(number, complete, faults);
            match publish.told {
                Told::Waits => faults.push(format!("publish {number} was never answered")),
                Told::Taken
                    if complete
                        && self.setting.store != StoreKind::None
                        && !self.publish_at_risk(number)
                        && !self.became.keys().any(|(other, _)| *other == number) =>
                {
                    faults.push(format!(
                        "publish {number} to {:?} was acknowledged and is nowhere",
                        publish.to
                    ));
                }
                _ => {}
            }
        }
    }

    /// What was acknowledged under a key is there, and was published under that key.
    fn check_known(&self, number: usize, complete: bool, faults: &mut Vec<String>) {
        let publish = &self.publishes[number];
        let (Some(_), Told::Acked(Some((_, id)))) = (publish.key, &publish.told) else {
            return;
        };
        let id = (log_of(id.epoch()), id.seq());
        let owner = self.events.get(&id).and_then(|known| known.publish);
        match owner.map(|owner| self.publishes[owner].key) {
            Some(key) if key != publish.key => faults.push(format!(
                "publish {number} has the key {:?} and was told the id {id:?}, which is publish {owner:?}'s",
                publish.key
            )),
            None if complete
                && self.setting.store != StoreKind::None
                && !self.at_risk(id.0, id.1)
                && !self.publish_at_risk(number) =>
            {
                faults.push(format!(
                    "publish {number} was acknowledged as {id:?}, and that is nowhere"
                ));
            }
            _ => {}
        }
    }

    /// The events of an ordered publisher are in its order.
    fn check_order(&self, faults: &mut Vec<String>) {
        let mut last: BTreeMap<(usize, u64), (usize, u64)> = BTreeMap::new();
        for ((number, _), (epoch, seq)) in &self.became {
            let Some((publisher, place)) = self.publishes[*number].ordered else {
                continue;
            };
            // What was lost may have been taken again, behind what was not.
            if self.publish_at_risk(*number) {
                continue;
            }
            // Publishes are numbered in the order in which they begin, and `became` is in that order.
            let before = last.insert((publisher, *epoch), (place, *seq));
            if let Some((before, at)) = before
                && (before > place || at >= *seq)
            {
                faults.push(format!(
                    "publisher {publisher}: its event {place} became seq {seq}, event {before} became seq {at}"
                ));
            }
        }
    }

    /// What was published under one key within the window is one event.
    fn check_keys(&self, faults: &mut Vec<String>) {
        // A clock that jumps makes keys old, and a full disk has no room for those of removed events.
        if self.clock_jumped || self.was_full {
            return;
        }
        let keyed: Vec<_> = (self.publishes.iter().enumerate())
            .filter_map(|(number, publish)| match (publish.key, &publish.told) {
                (Some(key), Told::Acked(Some((_, id)))) => Some((number, publish, key, *id)),
                _ => None,
            })
            .collect();
        for (at, (number, publish, key, id)) in keyed.iter().enumerate() {
            for (other, later, other_key, other_id) in &keyed[at + 1..] {
                let soon = later.told_ms < publish.begun_ms + self.setting.dedup_ms;
                let lossless = self.setting.store == StoreKind::Synced
                    || later.losses.1 == publish.losses.0 && id.epoch() == other_id.epoch();
                if key == other_key && soon && lossless && id != other_id {
                    faults.push(format!(
                        "publishes {number} and {other} have one key and became {id} and {other_id}"
                    ));
                }
            }
        }
    }

    /// Time does not go back.
    fn check_times(&self, faults: &mut Vec<String>) {
        let mut last = (0, 0, 0);
        for ((epoch, seq), known) in &self.events {
            let Some(time) = known.time else { continue };
            // What was lost had its time from a clock that has jumped since.
            let lost = self.clock_jumped && self.at_risk(*epoch, last.1);
            if last.0 == *epoch && time < last.2 && !lost {
                faults.push(format!("seq {seq} is older than seq {} before it", last.1));
            }
            last = (*epoch, *seq, time);
        }
    }
}

/// By topic the seq after which everything is wanted: its last `n` events up to `head`, and all that follow.
fn last_wanted<'m>(
    n: u64,
    head: u64,
    keeps_all: bool,
    matching: &[Match<'m>],
    risk: impl Fn(u64) -> bool,
) -> BTreeMap<&'m str, u64> {
    let mut by_topic: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (seq, topic, ..) in matching {
        let before = by_topic.entry(*topic).or_default();
        if *seq <= head && keeps_all && !risk(*seq) {
            before.push(*seq);
        }
    }
    let first = |before: Vec<u64>| {
        let skipped = before.len().saturating_sub(n as usize);
        before.get(skipped).map_or(head, |first| first - 1)
    };
    let by_topic = by_topic.into_iter();
    by_topic
        .map(|(topic, before)| (topic, first(before)))
        .collect()
}
