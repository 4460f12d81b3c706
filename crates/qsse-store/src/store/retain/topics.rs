//! Limits for single topics.

use super::Removal;
use crate::error::StoreError;
use crate::options::{Age, TopicRetention};
use crate::state::TopicState;
use crate::store::Store;
use qsse_topic::{Topic, TopicRef};

/// By how much a topic exceeds its limits.
#[derive(Clone, Copy)]
struct Excess {
    events: u64,
    bytes: u64,
    /// Everything through here has expired.
    through: u64,
}

impl Store {
    pub(super) fn trim_topics(
        &mut self,
        rules: &[TopicRetention],
        age: Age,
    ) -> Result<(), StoreError> {
        if rules.is_empty() {
            return Ok(());
        }
        let limits = rules.iter().map(|rule| rule.max_age);
        let expired = limits.map(|limit| limit.map_or(0, |limit| self.expired(limit, age)));
        let expired: Vec<u64> = expired.collect();
        let mut all = Vec::new();
        for (topic, state) in self.shared.state.read().topics.iter() {
            let mut rules = rules.iter().zip(&expired);
            let Some((rule, &expired)) = rules.find(|(rule, _)| rule.pattern.matches(topic)) else {
                continue;
            };
            if state.count == 0 {
                continue;
            }
            let over =
                |limit: Option<u64>, has: u64| limit.map_or(0, |most| has.saturating_sub(most));
            let excess = Excess {
                events: over(rule.max_events, state.count),
                bytes: over(rule.max_bytes, state.bytes),
                through: expired,
            };
            if excess.events > 0 || excess.bytes > 0 || state.oldest <= excess.through {
                all.push((topic.clone(), *state, excess));
            }
        }
        for (topic, state, excess) in all {
            let (gone, oldest) = self.removal_of(topic, state, excess)?;
            let topic = gone.topic.clone();
            if gone.count > 0 {
                self.apply(vec![gone]);
            }
            if let Some(oldest) = oldest {
                self.shared
                    .state
                    .write()
                    .topics
                    .begins(TopicRef::from(&topic), oldest);
            }
        }
        Ok(())
    }

    /// Returns what is removed from a topic, and its oldest event that stays.
    fn removal_of(
        &self,
        topic: Topic,
        state: TopicState,
        excess: Excess,
    ) -> Result<(Removal, Option<u64>), StoreError> {
        let mut gone = Removal {
            topic,
            floor: state.floor,
            count: 0,
            bytes: 0,
        };
        let segments = self.shared.state.read().segments.clone();
        let from = segments.partition_point(|segment| segment.end() < state.oldest);
        for segment in segments.iter().skip(from) {
            let slots = self.in_index(segment, |_, index| {
                let Some(stat) = index.stat(&gone.topic) else {
                    return Ok(Vec::new());
                };
                let slots = index.slots(&stat, state.floor, u64::MAX)?;
                let sized = |slot| (index.seq(slot), u64::from(slot.bytes));
                Ok(slots.iter().map(sized).collect())
            })?;
            for (seq, bytes) in slots {
                let goes = gone.count < excess.events
                    || gone.bytes < excess.bytes
                    || seq <= excess.through;
                if !goes {
                    return Ok((gone, Some(seq)));
                }
                gone.floor = seq;
                gone.count += 1;
                gone.bytes += bytes;
            }
        }
        Ok((gone, None))
    }
}
