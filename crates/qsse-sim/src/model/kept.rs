//! Retention: which events may be dropped, and which have to be.

use std::collections::BTreeMap;

use qsse_client::EventId;

use super::{Known, Model, Stay, To, Told};
use crate::program::StoreKind;

/// What an event of which nobody has seen the data may take in a file, and what any takes beside
/// its data.
const LARGEST: u64 = 2_100;
const BESIDE: u64 = 400;
/// Retention looks every second, and takes a while where the disk does.
const LOOKS_MS: u64 = 2_500;

impl Model {
    /// Whether so much has come after an event up to a seq, or so much time gone by, that retention
    /// may have let go of it.
    pub(crate) fn may_be_let_go(
        &self,
        stay: &Stay,
        (id, known): (EventId, &Known),
        (upto, at_ms): (u64, u64),
    ) -> bool {
        let log = self.log_of(stay.cursor);
        let later = log.events(&self.events, id.seq());
        let later: Vec<_> = later.take_while(|(id, _)| id.seq() <= upto).collect();
        let count = later.last().map_or(0, |(last, _)| last.seq() - id.seq());
        self.too_many(&later, known, count)
            || self.too_much(&later, count)
            || self.too_old(known, at_ms)
    }

    fn too_many(&self, later: &[(EventId, &Known)], known: &Known, count: u64) -> bool {
        let topic = known.topic.as_deref().unwrap_or_default();
        // Nobody has seen the others, which may be of its topic.
        let others = later.iter().filter(|(_, other)| {
            let other = other.topic.as_deref();
            other.is_some_and(|other| other != topic)
        });
        let of_topic = count.saturating_sub(others.count() as u64);
        let by_topic = (self.setting.topic_events).filter(|_| topic.starts_with("a."));
        self.most_events().is_some_and(|most| count >= most)
            || by_topic.is_some_and(|most| of_topic >= most)
    }

    fn too_much(&self, later: &[(EventId, &Known)], count: u64) -> bool {
        let size = |known: &Known| known.publish.map(|number| self.publishes[number].size);
        let sizes: Vec<u64> = later.iter().filter_map(|(_, known)| size(known)).collect();
        let unseen = count.saturating_sub(sizes.len() as u64) * LARGEST;
        let bytes = sizes.iter().sum::<u64>() + count * BESIDE + unseen;
        // Whole segments go.
        let room = 2 * self.setting.segment_bytes + LARGEST;
        let most = self.setting.bytes;
        most.is_some_and(|most| bytes + room >= most)
    }

    fn too_old(&self, known: &Known, at_ms: u64) -> bool {
        let begun = known
            .publish
            .map_or(0, |number| self.publishes[number].begun_ms);
        let most = self.setting.age_ms;
        most.is_some_and(|age| self.clock_jumped || begun + age <= at_ms)
    }

    /// Most events where they are kept.
    fn most_events(&self) -> Option<u64> {
        match self.setting.store {
            StoreKind::None => self.setting.history_events,
            _ => self.setting.store_events,
        }
    }

    /// Who begins with the oldest event that is kept, at a time when the log's end had been at
    /// `head` for long, sees what the rules keep.
    pub(crate) fn check_kept(&mut self, reading: usize, when: (u64, u64)) {
        // What retention removed is known less well after damage, and without room.
        if self.setting.store == StoreKind::None || self.was_full || self.setbacks > 0 {
            return;
        }
        let Some(stay) = self.readings[reading].stays.first() else {
            return;
        };
        let unseen = self.upto(stay, when.0).into_iter();
        let unseen = unseen.filter(|(id, _)| !stay.seen.contains(&id.seq()));
        let kept = unseen.filter(|(id, known)| {
            let there = known.topic.is_some() && !self.at_risk(*id);
            there && !self.may_be_let_go(stay, (*id, known), when)
        });
        let wrong: Vec<_> = kept
            .map(|(id, known)| format!("{id} on {:?} is not kept, and has to be", known.topic))
            .collect();
        wrong.into_iter().for_each(|text| self.fault(text));
    }

    /// The events of a stay's log, up to a seq.
    fn upto(&self, stay: &Stay, last: u64) -> Vec<(EventId, &Known)> {
        let events = self.log_of(stay.cursor).events(&self.events, 0);
        events.take_while(|(id, _)| id.seq() <= last).collect()
    }

    /// It sees nothing else. Where the disk was not `calm`, events came to the store late, and are
    /// counted as younger.
    pub(crate) fn check_let_go(&mut self, reading: usize, (head, at_ms): (u64, u64), calm: bool) {
        let Some(stay) = self.readings[reading].stays.first() else {
            return;
        };
        let mut seen = self.upto(stay, head);
        seen.retain(|(id, _)| stay.seen.contains(&id.seq()));
        let mut wrong = Vec::new();
        if let Some(most) = self.most_events().filter(|most| seen.len() as u64 > *most) {
            wrong.push(format!("{} events are kept, of at most {most}", seen.len()));
        }
        let mut of_topics: BTreeMap<&str, u64> = BTreeMap::new();
        for (id, known) in seen {
            let topic = known.topic.as_deref().unwrap_or_default();
            *of_topics.entry(topic).or_default() += 1;
            let told = known.publish.map(|number| &self.publishes[number]);
            let told = told.filter(|publish| matches!(publish.told, Told::Acked(_) | Told::Taken));
            let old = self.setting.age_ms.zip(told).is_some_and(|(age, publish)| {
                let single = matches!(publish.to, To::Topic(_)) && publish.key.is_none();
                single && publish.told_ms + age + LOOKS_MS < at_ms
            });
            if old && calm && !self.clock_jumped {
                wrong.push(format!("{id} is kept, and is too old"));
            }
        }
        for (topic, count) in of_topics {
            let most = self
                .setting
                .topic_events
                .filter(|_| topic.starts_with("a."));
            if let Some(most) = most.filter(|most| count > *most) {
                wrong.push(format!(
                    "{count} events on {topic} are kept, of at most {most}"
                ));
            }
        }
        wrong.into_iter().for_each(|text| self.fault(text));
    }
}
