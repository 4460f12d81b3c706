//! What a segment holds: its records, what it lost, and for each topic where its events are.

mod file;
mod slots;

use crate::format::{Record, SEGMENT_HEADER};
use qsse_proto::{Batch, Timestamp};
use qsse_topic::{Filter, Topic, TopicMap, TopicRef};
use std::io;

pub(crate) use file::{Of, read, write};
pub(crate) use slots::{Slot, Stat};

use slots::{List, Slots, list};

/// The index of a segment, being built or read from its file.
pub(crate) struct Index {
    /// The segment's first seq.
    first: u64,
    records: Vec<Record>,
    /// Seqs that no record answers for, as (after, to].
    holes: Vec<(u64, u64)>,
    /// What the last mark says, and where it ends in the file.
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

    /// Adds the record behind the others, with its batch unless it only answers for removed events.
    /// `seen` is told of each event.
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
            // A topic named earlier in the batch has the very same text.
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

    /// Everything through this seq is answered for, lost or not yet written.
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

    /// The records that answer for something after `after`.
    pub(crate) fn records_after(&self, after: u64) -> &[Record] {
        let from = self
            .records
            .partition_point(|record| record.last_seq <= after);
        self.records.get(from..).unwrap_or_default()
    }

    pub(crate) fn record(&self, slot: &Slot) -> Option<Record> {
        self.records.get(slot.record as usize).copied()
    }

    /// Lost seqs that are after `after`, as (after, to].
    pub(crate) fn holes(&self) -> &[(u64, u64)] {
        &self.holes
    }

    /// Takes a mark that ends at `file_end`: everything through this seq was appended, and is lost where no record has it.
    pub(crate) fn mark(&mut self, through: u64, file_end: u64) {
        let end = self.end();
        if through > end {
            self.holes.push((end, through));
        }
        self.marked = (through.max(end), file_end);
    }

    /// Where the bytes of the last record and the mark behind it end.
    pub(crate) fn file_end(&self) -> u64 {
        let last = self.records.last();
        let end = last.map_or(SEGMENT_HEADER as u64, Record::end);
        end.max(self.marked.1)
    }

    /// The earliest and the latest time of its events.
    pub(crate) fn times(&self) -> Option<(Timestamp, Timestamp)> {
        self.times
    }

    pub(crate) fn seq(&self, slot: &Slot) -> u64 {
        self.first + u64::from(slot.seq)
    }

    /// The first and the last seq of a topic.
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

    /// The topics that `filter` matches, each once.
    pub(crate) fn matching<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> impl Iterator<Item = (&'a Topic, Stat)> {
        matching(&self.topics, filter).map(|(topic, stat)| (topic, self.stat_of(stat)))
    }

    /// The events of a topic in (after, upto], in order.
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

    /// The figures of a topic; in memory they are kept up to date by the slots themselves.
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

/// What an event counts in limits on bytes.
pub(crate) fn event_bytes(topic: &str, kind: &str, data: &[u8]) -> u32 {
    u32::try_from(topic.len() + kind.len() + data.len()).unwrap_or(u32::MAX)
}

/// The topics of a map that `filter` matches, each once.
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
