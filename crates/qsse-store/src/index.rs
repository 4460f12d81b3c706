//! [`Index`]: the records of a segment, its holes, and where the events of each topic are.

mod file;
mod slots;

use crate::format::{Record, SEGMENT_HEADER};
use qsse_proto::{Batch, Timestamp};
use qsse_topic::{Filter, Topic, TopicMap, TopicRef};
use std::io;

pub(crate) use file::{Of, read, write};
pub(crate) use slots::{Slot, Stat};

use slots::{List, Slots, list};

/// The index of a segment, while it is built or after it was read from its file.
pub(crate) struct Index {
    /// The first seq of the segment.
    first: u64,
    records: Vec<Record>,
    /// Seqs that no record covers, as (after, to].
    holes: Vec<(u64, u64)>,
    /// The seq of the last mark, and where the mark ends in the file.
    marked: (u64, u64),
    topics: TopicMap<Stat>,
    times: Option<(Timestamp, Timestamp)>,
    events: u64,
    bytes: u64,
    slots: Slots,
}

impl Index {
    pub(crate) fn new(first: u64) -> Self {
        Self {
            first,
            records: Vec::new(),
            holes: Vec::new(),
            marked: (0, 0),
            topics: TopicMap::new(),
            times: None,
            events: 0,
            bytes: 0,
            slots: Slots::Memory(Vec::new()),
        }
    }

    /// Adds a record after the others, with its batch unless it covers only removed events. Calls
    /// `seen` for each event.
    pub(crate) fn add(
        &mut self,
        record: Record,
        batch: Option<&Batch>,
        mut seen: impl FnMut(TopicRef<'_>, u64, u32),
    ) {
        let end = self.end();
        if record.after > end {
            self.holes.push((end, record.after));
        }
        let number = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        self.records.push(record);
        let (first, last) = record.times();
        let (earliest, latest) = self.times.unwrap_or((first, last));
        self.times = Some((earliest.min(first), latest.max(last)));
        let Slots::Memory(slots) = &mut self.slots else {
            unreachable!("an index that is added to is in memory");
        };
        let mut known: Option<(*const u8, u32)> = None;
        for event in batch.into_iter().flatten() {
            // A topic that occurs earlier in the batch has the same text.
            let name = event.topic();
            let at = match known {
                Some((text, at)) if text == name.as_ptr() => at,
                _ => {
                    let Ok(topic) = TopicRef::new(name) else {
                        continue;
                    };
                    slot_list(&mut self.topics, slots, topic)
                }
            };
            known = Some((name.as_ptr(), at));
            let bytes = event_bytes(name, event.kind(), event.data());
            let slot = Slot {
                seq: u32::try_from(event.seq() - self.first).unwrap_or(u32::MAX),
                record: number,
                bytes,
            };
            if let Some(list) = slots.get_mut(at as usize) {
                list.push(slot);
            }
            self.events += 1;
            self.bytes += u64::from(bytes);
            if let Ok(topic) = TopicRef::new(name) {
                seen(topic, event.seq(), bytes);
            }
        }
    }

    /// Returns the last seq that is covered or lost.
    pub(crate) fn end(&self) -> u64 {
        let last = self.records.last();
        let end = last.map_or(self.first - 1, |record| record.last_seq);
        end.max(self.marked.0)
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Returns the records that cover seqs after `after`.
    pub(crate) fn records_after(&self, after: u64) -> &[Record] {
        let from = self
            .records
            .partition_point(|record| record.last_seq <= after);
        self.records.get(from..).unwrap_or_default()
    }

    pub(crate) fn record(&self, slot: &Slot) -> Option<Record> {
        self.records.get(slot.record as usize).copied()
    }

    /// Returns the lost seqs, as (after, to].
    pub(crate) fn holes(&self) -> &[(u64, u64)] {
        &self.holes
    }

    /// Adds a mark that ends at `file_end`: all seqs up to `through` were appended, and those that
    /// no record covers are lost.
    pub(crate) fn mark(&mut self, through: u64, file_end: u64) {
        let end = self.end();
        if through > end {
            self.holes.push((end, through));
        }
        self.marked = (through.max(end), file_end);
    }

    /// Returns where the last record or mark ends.
    pub(crate) fn file_end(&self) -> u64 {
        let last = self.records.last();
        let end = last.map_or(SEGMENT_HEADER as u64, Record::end);
        end.max(self.marked.1)
    }

    /// Returns the earliest and the latest time of the events.
    pub(crate) fn times(&self) -> Option<(Timestamp, Timestamp)> {
        self.times
    }

    pub(crate) fn seq(&self, slot: &Slot) -> u64 {
        self.first + u64::from(slot.seq)
    }

    /// Returns the first and the last seq of a topic.
    pub(crate) fn span(&self, stat: &Stat) -> (u64, u64) {
        let seq = |from_first| self.first + u64::from(from_first);
        (seq(stat.first), seq(stat.last))
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = (&Topic, Stat)> {
        self.topics
            .iter()
            .map(|(topic, stat)| (topic, self.stat_of(stat)))
    }

    pub(crate) fn stat(&self, topic: &Topic) -> Option<Stat> {
        self.topics.get(topic).map(|stat| self.stat_of(stat))
    }

    /// Returns the topics that match `filter`, each once.
    pub(crate) fn matching<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> impl Iterator<Item = (&'a Topic, Stat)> {
        matching(&self.topics, filter).map(|(topic, stat)| (topic, self.stat_of(stat)))
    }

    /// Returns the events of a topic in (after, upto], in order.
    pub(crate) fn slots(&self, stat: &Stat, after: u64, upto: u64) -> io::Result<Vec<Slot>> {
        let Some(upto) = upto.checked_sub(self.first) else {
            return Ok(Vec::new());
        };
        let from = (after + 1).saturating_sub(self.first);
        let within = |slot: &Slot| u64::from(slot.seq) >= from && u64::from(slot.seq) <= upto;
        match &self.slots {
            Slots::Memory(lists) => {
                let list = list(lists, stat);
                let begin = list.partition_point(|slot| u64::from(slot.seq) < from);
                let list = list.get(begin..).unwrap_or_default();
                Ok(list.iter().copied().take_while(within).collect())
            }
            Slots::File { file, seal } => {
                let mut all = slots::read(&**file, *seal, stat)?;
                all.retain(within);
                Ok(all)
            }
        }
    }

    /// Returns the figures of a topic. In memory its slots have the current ones.
    fn stat_of(&self, stat: &Stat) -> Stat {
        let Slots::Memory(lists) = &self.slots else {
            return *stat;
        };
        let slots = list(lists, stat);
        Stat {
            count: u32::try_from(slots.len()).unwrap_or(u32::MAX),
            bytes: lists.get(stat.at as usize).map_or(0, |list| list.bytes),
            first: slots.first().map_or(0, |slot| slot.seq),
            last: slots.last().map_or(0, |slot| slot.seq),
            ..*stat
        }
    }
}

/// Returns the bytes of an event that count for limits.
pub(crate) fn event_bytes(topic: &str, kind: &str, data: &[u8]) -> u32 {
    u32::try_from(topic.len() + kind.len() + data.len()).unwrap_or(u32::MAX)
}

/// Returns the topics of a map that match `filter`, each once.
pub(crate) fn matching<'a, V>(
    map: &'a TopicMap<V>,
    filter: &'a Filter,
) -> impl Iterator<Item = (&'a Topic, &'a V)> {
    let patterns = filter.patterns();
    patterns.iter().enumerate().flat_map(move |(n, pattern)| {
        let earlier = patterns.get(..n).unwrap_or_default();
        map.matching(pattern)
            .filter(move |(topic, _)| !earlier.iter().any(|earlier| earlier.matches(*topic)))
    })
}

fn slot_list(topics: &mut TopicMap<Stat>, slots: &mut Vec<List>, topic: TopicRef<'_>) -> u32 {
    if let Some(stat) = topics.get(topic) {
        return stat.at;
    }
    let at = u32::try_from(slots.len()).unwrap_or(u32::MAX);
    slots.push(List::default());
    let stat = Stat {
        at,
        ..Stat::default()
    };
    topics.insert(topic.to_topic(), stat);
    at
}
