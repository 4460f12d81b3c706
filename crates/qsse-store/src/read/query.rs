//! Questions about the retained events.

use super::Reader;
use crate::since::seq_since;
use crate::state::TopicState;
use qsse_proto::{Epoch, Since, Timestamp};
use qsse_topic::{Filter, Topic};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

impl Reader {
    /// Returns the epochs of the store, as in [`Recovered::epochs`](crate::Recovered::epochs).
    pub fn epochs(&self) -> &[(Epoch, u64)] {
        &self.shared.epochs
    }

    /// Returns the last seq that was appended or is lost.
    pub fn head(&self) -> u64 {
        self.shared.state.read().known
    }

    /// Returns the position before the oldest event that may be there: the start for all retained
    /// events.
    pub fn oldest(&self) -> u64 {
        let state = self.shared.state.read();
        let first = state.segments.first().map(|segment| segment.first - 1);
        first.unwrap_or(state.known).max(state.topics.begin)
    }

    /// Returns the number of retained events of all topics.
    pub fn events(&self) -> u64 {
        self.shared.state.read().topics.events
    }

    /// Returns the bytes of all segments, without their indexes.
    pub fn bytes(&self) -> u64 {
        let state = self.shared.state.read();
        state.segments.iter().map(|segment| segment.len()).sum()
    }

    /// Returns the seq up to which events that match `filter` may have been removed; 0 if none was.
    ///
    /// It is the seq of the newest such event, and not of other events removed with it. Events lost
    /// by damage do not count: reads report them.
    pub fn floor(&self, filter: &Filter) -> u64 {
        self.floor_above(filter, 0)
    }

    /// Returns the [`floor`](Reader::floor) if it is above `after`, and otherwise any seq that is
    /// not. It is faster if nothing above `after` was removed.
    pub fn floor_above(&self, filter: &Filter, after: u64) -> u64 {
        let mut floor = {
            let state = self.shared.state.read();
            if state.topics.max_floor() <= after {
                return state.topics.missing;
            }
            state.topics.missing
        };
        self.shared.search(filter, |_, state| {
            floor = floor.max(state.floor);
            ControlFlow::Continue(())
        });
        // Topics that were forgotten meanwhile are not found.
        floor.max(self.shared.state.read().topics.missing)
    }

    /// Returns for each topic that matches `filter` the seq of its `n`th newest event at or below
    /// `upto`, or of its oldest one if it has fewer: where its last `n` events begin. Topics
    /// without such an event are left out, and all topics if `n` is 0. In byte order of the topics.
    pub fn tail(&self, filter: &Filter, n: u64, upto: u64) -> Vec<(Topic, u64)> {
        let mut found: BTreeMap<Topic, u64> = BTreeMap::new();
        let mut open = Vec::new();
        self.shared.search(filter, |topic, state| {
            let is_there = n > 0 && state.count > 0 && state.oldest <= upto;
            if is_there && n == 1 && state.last <= upto {
                found.insert(topic.clone(), state.last);
            } else if is_there {
                open.push(Looking {
                    topic: topic.clone(),
                    state: *state,
                    needed: n,
                    seen: 0,
                });
            }
            ControlFlow::Continue(())
        });
        let segments = self.shared.state.read().segments.clone();
        for segment in segments.iter().rev() {
            if open.is_empty() {
                break;
            }
            // A segment that cannot be read counts as one without events.
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

    /// Returns the first seq whose event has a time of `time` or later, or the seq after the head:
    /// the start for all events since then. Removed events count too, and a damaged record counts
    /// as a whole.
    ///
    /// Times after `until` are ahead of the clock. An event with such a time counts as of the next
    /// event that is not ahead, see [`Since`].
    pub fn seq_at(&self, time: Timestamp, until: Timestamp) -> u64 {
        let (segments, next) = {
            let state = self.shared.state.read();
            (state.segments.clone(), state.known + 1)
        };
        seq_since(&segments, &self.shared.files, Since::new(time, until), next)
    }

    /// Returns the topics with a retained event that match `filter`, each with the seq of its
    /// newest event, in byte order.
    pub fn last_seqs(&self, filter: &Filter) -> Vec<(Topic, u64)> {
        let mut list = Vec::new();
        self.shared.search(filter, |topic, state| {
            if state.count > 0 {
                list.push((topic.clone(), state.last));
            }
            ControlFlow::Continue(())
        });
        list.sort_unstable();
        list
    }

    /// Returns the topics with a retained event that match `filter`, in byte order. If there are
    /// more than `limit`, it stops there and returns any `limit` of them.
    pub fn topics_matching(&self, filter: &Filter, limit: usize) -> Vec<Topic> {
        let mut topics = Vec::new();
        self.shared.search(filter, |topic, state| {
            if topics.len() < limit && state.count > 0 {
                topics.push(topic.clone());
            }
            match topics.len() < limit {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        topics.sort_unstable();
        topics
    }
}

/// A topic whose start is not found yet.
struct Looking {
    topic: Topic,
    state: TopicState,
    /// How many events at or below the end are still needed.
    needed: u64,
    /// How many retained events have been seen.
    seen: u64,
}
