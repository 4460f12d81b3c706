//! Reads by the topics' lists of seqs: few topics among many, and the last events of each.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use qsse_proto::batch::{Batch, Builder};

use super::{Added, History, Read};
use crate::topics::{TopicId, Topics};

/// The most events of a selection that one step reads while the log is locked: each is looked up.
const SELECTED: usize = 512;

/// The next part of a selection.
pub(crate) enum Selected {
    /// Events.
    Batch(Batch),
    /// This event has been removed.
    Lost(u64),
}

impl History {
    /// Reads the events of these topics in (after, upto], in order, as many as fit into one batch.
    pub(super) fn read_topics(
        &self,
        topics: &Topics,
        ids: &[TopicId],
        after: u64,
        upto: u64,
    ) -> Read {
        let lists: Vec<&VecDeque<u64>> = ids.iter().map(|id| topics.seqs(*id)).collect();
        // The next seq of each topic, with the number of its list and the index in it.
        let mut next: BinaryHeap<Reverse<(u64, usize, usize)>> = BinaryHeap::new();
        for (list, seqs) in lists.iter().enumerate() {
            let at = seqs.partition_point(|seq| *seq <= after);
            next.extend(seqs.get(at).map(|seq| Reverse((*seq, list, at))));
        }
        let mut builder = Builder::new();
        let mut through = after;
        while let Some(Reverse((seq, list, at))) = next.pop() {
            if seq > upto {
                break;
            }
            let Some(event) = self.get(seq) else {
                continue;
            };
            match event.add(&mut builder, topics) {
                Added::Yes => {}
                Added::Full => return Read::of(self.finish(&mut builder), through),
                Added::Alone(batch) => return Read::of(Some(batch), seq),
            }
            through = seq;
            let following = lists[list].get(at + 1);
            next.extend(following.map(|seq| Reverse((*seq, list, at + 1))));
        }
        Read::of(self.finish(&mut builder), upto)
    }

    /// Takes events from the front of `seqs`: as many as fit into one batch, but so few that others
    /// do not wait long.
    pub(crate) fn take_selected(&self, topics: &Topics, seqs: &mut VecDeque<u64>) -> Selected {
        let mut builder = Builder::new();
        let end = seqs.len().saturating_sub(SELECTED);
        while let Some(&seq) = seqs.front()
            && seqs.len() > end
        {
            let event = self.get(seq);
            let Some(event) = event.filter(|event| topics.is_retained(event.topic, seq)) else {
                if builder.is_empty() {
                    seqs.pop_front();
                    return Selected::Lost(seq);
                }
                break;
            };
            match event.add(&mut builder, topics) {
                Added::Yes => {}
                Added::Full => break,
                Added::Alone(batch) => {
                    seqs.pop_front();
                    return Selected::Batch(batch);
                }
            }
            seqs.pop_front();
        }
        Selected::Batch(self.batches.hold(builder.finish()))
    }
}
