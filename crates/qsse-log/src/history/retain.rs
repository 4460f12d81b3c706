//! Retention in the history.

use std::ops::Range;
use std::time::Duration;

use super::History;
use super::segment::Segment;
use crate::config::{Config, TopicRetention};
use crate::topics::{TopicId, Topics};

/// The most events that one step removes because of their age. That takes a millisecond or two.
const EXPIRED: u64 = 1_024;

impl History {
    /// Drops the oldest events until the limits hold. Of those that are too old it drops some; the
    /// next call goes on.
    pub(crate) fn trim(&mut self, config: &Config, now: Duration, topics: &mut Topics) {
        self.shrink_to(config.history_bytes, topics);
        while self.events > config.history_events
            && let Some(oldest) = self.segments.front()
        {
            let surplus = (self.events - config.history_events).min(oldest.len() as u64);
            let gone = (self.floor + 1).saturating_sub(oldest.first_seq);
            let upto = oldest.first_seq + gone + surplus - 1;
            self.drop_through(upto.min(oldest.last_seq()), topics);
        }
        self.expire(config, now, topics);
    }

    /// Drops events that are too old, but only some at a time. Returns true if there are more.
    pub(crate) fn expire(&mut self, config: &Config, now: Duration, topics: &mut Topics) -> bool {
        let Some(oldest) = config.history_age.and_then(|age| now.checked_sub(age)) else {
            return false;
        };
        let mut room = EXPIRED;
        while let Some(segment) = self.segments.front() {
            let before = segment.first_seq - 1;
            let expired = segment.count_while(|moment| moment.age <= oldest);
            let (begin, through) = (self.floor.max(before), before + expired as u64);
            let all = expired == segment.len();
            let upto = through.min(begin + room);
            if upto > begin {
                room -= upto - begin;
                self.drop_through(upto, topics);
            }
            if upto < through {
                return true;
            }
            if !all {
                return false;
            }
        }
        false
    }

    /// Drops the oldest events until at most `most` bytes are allocated.
    pub(crate) fn shrink_to(&mut self, most: usize, topics: &mut Topics) {
        while self.bytes + topics.index_bytes() > most
            && let Some(oldest) = self.segments.front()
        {
            let last = oldest.last_seq();
            self.drop_spare();
            self.drop_through(last, topics);
        }
        if self.segments.is_empty() {
            self.drop_spare();
        }
    }

    /// Removes a topic's oldest events until its rule holds. Their memory is freed with their
    /// segment.
    pub(crate) fn trim_topic(
        &self,
        id: TopicId,
        rule: &TopicRetention,
        now: Duration,
        topics: &mut Topics,
    ) {
        let oldest = rule.max_age.and_then(|age| now.checked_sub(age));
        while let Some(&seq) = topics.seqs(id).front() {
            let Some(event) = self.get(seq) else {
                break;
            };
            let over = rule
                .max_events
                .is_some_and(|most| topics.seqs(id).len() as u64 > most)
                || rule.max_bytes.is_some_and(|most| topics.bytes(id) > most)
                || oldest.is_some_and(|oldest| event.moment.age <= oldest);
            if !over {
                break;
            }
            topics.release(id, seq, 1, event.len());
        }
    }

    pub(super) fn drop_through(&mut self, seq: u64, topics: &mut Topics) {
        while self.floor < seq {
            let Some(oldest) = self.segments.front() else {
                break;
            };
            let upto = oldest.last_seq().min(seq);
            let from = (self.floor + 1).saturating_sub(oldest.first_seq) as usize;
            let to = (upto + 1 - oldest.first_seq) as usize;
            release(oldest, from..to, topics);
            for time in oldest.times(from..to) {
                self.removed.add(time, self.until);
            }
            self.events -= (to - from) as u64;
            self.floor = upto;
            topics.set_history_floor(upto);
            if upto == oldest.last_seq()
                && let Some(gone) = self.segments.pop_front()
            {
                let large = self.large.bytes() - gone.large_allocated();
                self.large.resize(large);
                self.bytes -= gone.allocated();
                let gone = gone.cleared();
                self.bytes += gone.allocated();
                let before = self.spare.replace(gone);
                self.bytes -= before.as_ref().map_or(0, Segment::allocated);
            }
        }
    }

    fn drop_spare(&mut self) {
        if let Some(spare) = self.spare.take() {
            self.bytes -= spare.allocated();
        }
    }
}

/// Removes events of a segment from the table of topics. Consecutive events of one topic are
/// removed together.
fn release(segment: &Segment, places: Range<usize>, topics: &mut Topics) {
    let mut seq = segment.first_seq + places.start as u64;
    let mut events = segment.lengths(places).peekable();
    while let Some((topic, mut bytes)) = events.next() {
        let mut count = 1;
        // Some events of a topic with a rule may have been removed already.
        if topics.rule(topic).is_none() {
            while let Some((_, len)) = events.next_if(|(next, _)| *next == topic) {
                count += 1;
                bytes += len;
            }
        }
        topics.release(topic, seq, count, bytes);
        seq += count as u64;
    }
}
