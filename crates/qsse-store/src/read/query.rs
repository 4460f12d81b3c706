//! Questions about what is kept.

use super::Reader;
use crate::since::seq_since;
use crate::state::TopicState;
use qsse_proto::{Epoch, Since, Timestamp};
use qsse_topic::{Filter, Topic};
use std::collections::BTreeMap;

impl Reader {
    /// The epochs of the store, as [`Recovered::epochs`](crate::Recovered::epochs) tells them.
    pub fn epochs(&self) -> &[(Epoch, u64)] {
        &self.shared.epochs
    }

    /// The last seq that was appended or is lost.
    pub fn head(&self) -> u64 {
        self.shared.state.read().known
    }

    /// The position before the oldest event that may be there: where to begin for all that is kept.
    pub fn oldest(&self) -> u64 {
        let state = self.shared.state.read();
        let first = state.segments.first().map(|segment| segment.first - 1);
        first.unwrap_or(state.known).max(state.topics.begin)
    }

    /// How many events are kept, of all topics.
    pub fn events(&self) -> u64 {
        self.shared.state.read().topics.events
    }

    /// Bytes of all segments, without their indexes.
    pub fn bytes(&self) -> u64 {
        let state = self.shared.state.read();
        state.segments.iter().map(|segment| segment.len()).sum()
    }

    /// The seq up to which an event that `filter` matches may have been removed; 0 if none was.
    ///
    /// It is the seq of the newest such event, not of whatever was removed beside it. What is lost
    /// by damage is not counted: reads tell it.
    pub fn floor(&self, filter: &Filter) -> u64 {
        self.floor_above(filter, 0)
    }

    /// The [`floor`](Reader::floor) if it is above `after`; otherwise any seq that is not. It is quicker, where nothing was
    /// removed above.
    pub fn floor_above(&self, filter: &Filter, after: u64) -> u64 {
        let state = self.shared.state.read();
        let topics = &state.topics;
        if topics.max_floor() <= after {
            return topics.missing;
        }
        let floors = topics.matching(filter).map(|(_, state)| state.floor);
        floors.fold(topics.missing, u64::max)
    }

    /// For each topic that `filter` matches the seq of its `n`th newest event at or below `upto`, or of
    /// its oldest one if it has fewer: where to begin for its last `n`. Topics without one, and all
    /// if `n` is 0, are left out. In byte order of the topics.
    pub fn tail(&self, filter: &Filter, n: u64, upto: u64) -> Vec<(Topic, u64)> {
        let (wanted, segments) = {
            let state = self.shared.state.read();
            let matching = state.topics.matching(filter);
            let kept =
                matching.filter(|(_, state)| n > 0 && state.count > 0 && state.oldest <= upto);
            let wanted: Vec<_> = kept.map(|(topic, state)| (topic.clone(), *state)).collect();
            (wanted, state.segments.clone())
        };
        let mut found: BTreeMap<Topic, u64> = BTreeMap::new();
        let mut open = Vec::new();
        for (topic, state) in wanted {
            if n == 1 && state.last <= upto {
                found.insert(topic, state.last);
            } else {
                open.push(Looking {
                    topic,
                    state,
                    needed: n,
                    seen: 0,
                });
            }
        }
        for segment in segments.iter().rev() {
            if open.is_empty() {
                break;
            }
            // What cannot be read has no events to begin with.
            let _ = segment.index(&self.shared.files, |index| {
                open.retain_mut(|looking| {
                    let Some(stat) = index.stat(&looking.topic) else {
                        return true;
                    };
                    let floor = looking.state.floor;
                    let slots = index.slots(&stat, floor, u64::MAX).unwrap_or_default();
                    looking.seen += slots.len() as u64;
                    let below = slots.partition_point(|slot| index.seq(slot) <= upto);
                    let rank =
                        below.saturating_sub(usize::try_from(looking.needed).unwrap_or(usize::MAX));
                    if let Some(slot) = slots.get(rank).filter(|_| below > 0) {
                        found.insert(looking.topic.clone(), index.seq(slot));
                    }
                    looking.needed = looking.needed.saturating_sub(below as u64);
                    looking.needed > 0 && looking.seen < looking.state.count
                });
            });
        }
        found.into_iter().collect()
    }

    /// The first seq whose event has a time of `time` or later, or the one after the head: where to
    /// begin for all since then. Events that were removed since count as well, and so does a damaged
    /// record, as a whole.
    ///
    /// Times after `until` are ahead of the clock: an event of such a time counts as of the time of the next one that is not,
    /// as [`Since`] says.
    pub fn seq_at(&self, time: Timestamp, until: Timestamp) -> u64 {
        let (segments, next) = {
            let state = self.shared.state.read();
            (state.segments.clone(), state.known + 1)
        };
        seq_since(&segments, &self.shared.files, Since::new(time, until), next)
    }

    /// The topics with a kept event that `filter` matches, each with the seq of its newest one, in byte
    /// order of the topics.
    pub fn last_seqs(&self, filter: &Filter) -> Vec<(Topic, u64)> {
        let state = self.shared.state.read();
        let kept = state.topics.matching(filter);
        let mut list: Vec<_> = kept
            .filter(|(_, state)| state.count > 0)
            .map(|(topic, state)| (topic.clone(), state.last))
            .collect();
        list.sort_unstable();
        list
    }

    /// The topics with a kept event that `filter` matches, in byte order.
    pub fn topics_matching(&self, filter: &Filter) -> Vec<Topic> {
        let last = self.last_seqs(filter);
        last.into_iter().map(|(topic, _)| topic).collect()
    }
}

/// A topic whose beginning is still looked for.
struct Looking {
    topic: Topic,
    state: TopicState,
    /// Events at or below the end that are still needed.
    needed: u64,
    /// Kept events seen so far.
    seen: u64,
}
