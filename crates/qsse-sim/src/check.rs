//! The checks at the end of a run: nothing is missing, and no gap was reported without cause.

use std::collections::{BTreeMap, BTreeSet};

use qsse_client::{EventId, GapReason};
use qsse_topic::TopicRef;

use crate::model::{Began, Known, Model, Reading, Stay, Told, ToldGap};
use crate::program::StoreKind;

/// An event: its id, its topic, what is known of it, and whether its reader could read it all the
/// time.
type Match<'m> = (EventId, &'m str, &'m Known, bool);

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
        let log = self.log_of(stay.cursor);
        let from_seq = stay.from.seq();
        let matching = self.matching(reading, stay, stay.cursor.seq());
        let gaps: Vec<ToldGap> = (stay.gaps.iter().filter(|gap| log.knows(gap.to)))
            .copied()
            .collect();
        let seen: BTreeSet<u64> = stay.seen.iter().copied().collect();
        let from = self.first_wanted(reading, stay, &matching, &seen, faults);
        for (id, topic, known, _) in matching.iter().filter(|(.., must)| *must) {
            let seq = id.seq();
            let wanted = from.get(*topic).copied().unwrap_or(from_seq) < seq;
            let loses_all = |gap: &ToldGap| match gap.reason {
                GapReason::Damaged => true,
                GapReason::Retention | GapReason::Lag => self.setting.keeps_all(),
                _ => false,
            };
            let covered = gaps
                .iter()
                .any(|gap| gap.holds(seq) && (!loses_all(gap) || self.at_risk(*id)));
            if wanted && !seen.contains(&seq) && !covered {
                faults.push(format!(
                    "{name} missed {id} on {topic} (publish {:?}) in silence: it went from {} to {} ({:?}), gaps {:?}",
                    known.publish, stay.from, stay.cursor, stay.began, stay.gaps
                ));
            }
            if wanted && !seen.contains(&seq) && covered {
                self.check_let_go_of(reading, stay, (*id, known), &gaps, faults);
            }
            if seq <= from_seq
                && let Some(publish) = known.publish
                && self.publishes[publish].begun > stay.confirmed
            {
                faults.push(format!(
                    "{name} begins after {}, and {id} was published once it was confirmed",
                    stay.from
                ));
            }
        }
        self.check_gaps(reading, &gaps, stay, &matching, &seen, faults);
    }

    /// What a gap says is no longer kept must not be kept, as far as the rules go.
    fn check_let_go_of(
        &self,
        reading: &Reading,
        stay: &Stay,
        event: (EventId, &Known),
        gaps: &[ToldGap],
        faults: &mut Vec<String>,
    ) {
        // What retention removed is known less well after damage, and without room.
        if self.setting.store == StoreKind::None || self.was_full || self.setbacks > 0 {
            return;
        }
        let about = || gaps.iter().filter(|gap| gap.holds(event.0.seq()));
        let reasons = [GapReason::Retention, GapReason::Lag];
        let retention = about().all(|gap| reasons.contains(&gap.reason));
        let at_ms = about().map(|gap| gap.at_ms).max();
        if retention && !self.may_be_let_go(stay, event, (u64::MAX, at_ms.unwrap_or(0))) {
            faults.push(format!(
                "{} was told that {} on {:?} is no longer kept, too early: gaps {gaps:?}",
                reading.name, event.0, event.1.topic
            ));
        }
    }

    /// What of a log, up to a seq, a reading is about.
    fn matching(&self, reading: &Reading, stay: &Stay, upto: u64) -> Vec<Match<'_>> {
        let of_log = self.log_of(stay.cursor).events(&self.events, 0);
        let of_log = of_log.take_while(|(id, _)| id.seq() <= upto);
        let matching = of_log.filter_map(|(id, known)| {
            let topic = known.topic.as_deref()?;
            let matches = TopicRef::new(topic).is_ok_and(|topic| reading.filter.matches(topic));
            let must = self.must_get(reading, stay, (id.seq(), topic), known);
            matches.then_some((id, topic, known, must))
        });
        matching.collect()
    }

    /// By topic, after which seq everything is wanted, where that is not from the stay's beginning
    /// on.
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
            Began::Live { acked } if stay.from.seq() < acked => faults.push(format!(
                "{name} is live from {}, and seq {acked} was acknowledged before",
                stay.from
            )),
            Began::Earliest | Began::Reset if keeps_all => {
                for (id, topic, _, must) in matching {
                    if id.seq() <= stay.from.seq() && *must && !self.at_risk(*id) {
                        faults.push(format!(
                            "{name} begins with the oldest event after {}, without {id} on {topic}",
                            stay.from
                        ));
                    }
                }
            }
            // Times that go back are counted as of later ones.
            Began::Since { time, acked } if !self.clock_jumped => {
                for (id, topic, known, must) in matching {
                    let seq = id.seq();
                    let Some(of_event) = known.time else {
                        continue;
                    };
                    if of_event < time && seq <= acked && seen.contains(&seq) {
                        faults.push(format!("{name} saw {id}, which is older than it asked for"));
                    }
                    if of_event >= time
                        && seq <= stay.from.seq()
                        && keeps_all
                        && *must
                        && !self.at_risk(*id)
                    {
                        faults.push(format!(
                            "{name} begins after {}, without {id} on {topic}, which is of the time asked for",
                            stay.from
                        ));
                    }
                }
            }
            Began::Last { n, acked, head } => {
                let old: Vec<_> = matching
                    .iter()
                    .filter(|(id, ..)| id.seq() <= acked && seen.contains(&id.seq()))
                    .collect();
                for (_, topic, ..) in &old {
                    let count = old.iter().filter(|(_, other, ..)| other == topic).count();
                    if count > n as usize && !self.disturbed {
                        faults.push(format!(
                            "{name} asked for the last {n} of each topic and got {count} on {topic}"
                        ));
                    }
                }
                let risk = |id| self.at_risk(id);
                return last_wanted(
                    n,
                    head,
                    keeps_all && self.setbacks == 0 && self.steady(reading, stay),
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
        gaps: &[ToldGap],
        stay: &Stay,
        matching: &[Match<'_>],
        seen: &BTreeSet<u64>,
        faults: &mut Vec<String>,
    ) {
        let name = &reading.name;
        for gap in gaps {
            let (after, to) = (gap.after, gap.to.seq());
            if stay.cursor.seq() < to {
                continue;
            }
            if gap.reason == GapReason::Latest {
                let last: BTreeMap<&str, (EventId, bool)> = matching
                    .iter()
                    .filter(|(id, ..)| gap.holds(id.seq()))
                    .map(|(id, topic, _, must)| (*topic, (*id, *must)))
                    .collect();
                for (topic, (id, _)) in last.into_iter().filter(|(_, (_, must))| *must) {
                    let seq = id.seq();
                    let mut others = gaps.iter().filter(|gap| gap.reason != GapReason::Latest);
                    let other = others.any(|gap| gap.holds(seq));
                    let kept = self.setting.keeps_all() && !self.at_risk(id);
                    if kept && !other && !seen.contains(&seq) {
                        faults.push(format!(
                            "{name} lagged from {after} to {to} and did not get the last event on {topic}, {id}"
                        ));
                    }
                }
            }
            if matches!(gap.reason, GapReason::Retention | GapReason::Lag) {
                let behind = || self.log_of(stay.cursor).events(&self.events, after);
                let within = behind().take_while(|(id, _)| id.seq() <= to);
                let known = within.filter(|(_, known)| known.topic.is_some());
                let all_known = known.count() as u64 == to - after;
                let gone = behind().any(|(id, known)| {
                    let topic = known.topic.as_deref().unwrap_or_default();
                    let matches =
                        TopicRef::new(topic).is_ok_and(|topic| reading.filter.matches(topic));
                    let missing = gap.holds(id.seq()) && !seen.contains(&id.seq());
                    matches
                        && (missing || self.may_be_let_go(stay, (id, known), (u64::MAX, gap.at_ms)))
                });
                if all_known && !gone && !self.was_full && self.setbacks == 0 {
                    faults.push(format!(
                        "{name} was told of a gap from {after} to {to}, and nothing is missing there"
                    ));
                }
            }
        }
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
        let id = *id;
        let owner = self.events.get(&id).and_then(|known| known.publish);
        match owner.map(|owner| self.publishes[owner].key) {
            Some(key) if key != publish.key => faults.push(format!(
                "publish {number} has the key {:?} and was told the id {id}, which is publish {owner:?}'s",
                publish.key
            )),
            None if complete
                && self.setting.store != StoreKind::None
                && !self.at_risk(id)
                && !self.publish_at_risk(number) =>
            {
                faults.push(format!(
                    "publish {number} was acknowledged as {id}, and that is nowhere"
                ));
            }
            _ => {}
        }
    }

    /// The events of an ordered publisher are in its order.
    fn check_order(&self, faults: &mut Vec<String>) {
        let mut last: BTreeMap<usize, (usize, EventId)> = BTreeMap::new();
        for ((number, _), id) in &self.became {
            let Some((publisher, place)) = self.publishes[*number].ordered else {
                continue;
            };
            // What was lost may have been taken again, behind what was not.
            if self.publish_at_risk(*number) {
                continue;
            }
            // Publishes are numbered in the order in which they begin, and `became` is in that
            // order.
            let before = last.insert(publisher, (place, *id));
            if let Some((before, at)) = before
                && self.of_one_log(at, *id)
                && (before > place || at.seq() >= id.seq())
            {
                faults.push(format!(
                    "publisher {publisher}: its event {place} became {id}, event {before} became {at}"
                ));
            }
        }
    }

    /// What was published under one key within the window is one event.
    fn check_keys(&self, faults: &mut Vec<String>) {
        // A clock that jumps makes keys old, and a full disk has no room for those of removed
        // events.
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
                    && later.setbacks.1 == publish.setbacks.0
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
        for log in self.logs() {
            let mut last: Option<(EventId, u64)> = None;
            for (id, known) in log.events(&self.events, 0) {
                let Some(time) = known.time else { continue };
                // A clock that was ahead is followed back, which here it is when a server starts.
                if let Some((before, of_before)) = last
                    && time < of_before
                    && (before.epoch() == id.epoch() || !self.clock_jumped)
                {
                    faults.push(format!("{id} is older than {before} before it"));
                }
                last = Some((id, time));
            }
        }
    }
}

/// By topic the seq after which everything is wanted: its last `n` events up to `head`, and all
/// that follow.
fn last_wanted<'m>(
    n: u64,
    head: u64,
    keeps_all: bool,
    matching: &[Match<'m>],
    risk: impl Fn(EventId) -> bool,
) -> BTreeMap<&'m str, u64> {
    let mut by_topic: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (id, topic, ..) in matching {
        let before = by_topic.entry(*topic).or_default();
        if id.seq() <= head && keeps_all && !risk(*id) {
            before.push(id.seq());
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
