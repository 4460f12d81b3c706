//! Retention: removes what it does not allow.

mod ages;
mod compact;
mod save;
mod topics;

use super::Store;
use crate::error::{Health, StoreError};
use crate::floors;
use crate::index::{Index, Stat};
use crate::keys;
use crate::options::{Age, Retention};
use crate::publishers;
use crate::segment::{Segment, index_name, segment_name};
use qsse_proto::Timestamp;
use qsse_topic::Topic;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(super) use ages::Ages;

/// What retention removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trimmed {
    /// Events that are no longer returned.
    pub events: u64,
    /// Segments whose files were removed.
    pub segments: usize,
    /// Segments that were rewritten without their dead events.
    pub rewritten: usize,
    /// Bytes of files that were freed.
    pub bytes: u64,
}

/// Events of one topic that are removed: those up to a floor, with their number and bytes.
struct Removal {
    topic: Topic,
    floor: u64,
    count: u64,
    bytes: u64,
}

impl Store {
    /// Removes what `rules` do not allow. Call it about once a second, even without rules: it
    /// notices if the directory is gone.
    ///
    /// Limits on number and age, and those of topics, are exact: removed events are no longer
    /// returned, and the [`floor`](crate::Reader::floor) of their topics rises. A file is freed
    /// when all of its events are removed, and rewritten when most of them are, at most one in each
    /// call. Limits on bytes free whole segments: afterwards all files together have at most
    /// [`max_bytes`](Retention::max_bytes), or only the segment that is being written remains. Only
    /// rewriting needs room on the disk.
    ///
    /// After an unclean end, removed events that are still in the files come back until the next
    /// call.
    ///
    /// # Errors
    /// A part may be done, and the next call continues. [`StoreError::Failed`] is final until the
    /// store is opened again.
    pub fn retain(&mut self, rules: &Retention, age: Age) -> Result<Trimmed, StoreError> {
        self.raised.clear();
        self.usable()?;
        // Checked even in a store in which nothing happens.
        self.is_in_place()?;
        let events = self.reader().events();
        self.ages.note(age, self.head());
        if let Some(limit) = rules.max_age {
            let expired = self.expired(limit, age);
            self.trim_through(expired)?;
        }
        if let Some(most) = rules.max_events {
            self.trim_to(most)?;
        }
        self.trim_topics(&rules.topics, age)?;
        if let Some(most) = rules.max_bytes {
            self.trim_bytes(most)?;
        }
        let mut trimmed = Trimmed::default();
        if self.may_be_dead {
            self.remove_dead(&mut trimmed)?;
            self.may_be_dead = self.compact(&mut trimmed)?;
        }
        let closed = self.shared.state.read().segments.len().saturating_sub(1);
        self.save_indexes(closed);
        let now = self.reader().events();
        trimmed.events = events.saturating_sub(now);
        Ok(trimmed)
    }

    /// Takes the floors that [`retain`](Store::retain) has raised since the last call, even if it
    /// failed: topics with the seq up to which events were removed. A topic may occur more than
    /// once.
    pub fn take_raised(&mut self) -> Vec<(Topic, u64)> {
        std::mem::take(&mut self.raised)
    }

    /// Removes all events through `seq`.
    fn trim_through(&mut self, seq: u64) -> Result<(), StoreError> {
        if seq <= self.ages.trimmed {
            return Ok(());
        }
        let segments = self.shared.state.read().segments.clone();
        let done = self.ages.trimmed;
        for segment in segments {
            if segment.end() <= done {
                continue;
            }
            if segment.first > seq {
                break;
            }
            let gone =
                self.in_index(&segment, |store, index| store.removals_through(index, seq))?;
            self.apply(gone);
        }
        self.ages.trimmed = seq;
        Ok(())
    }

    /// Returns what is removed from a segment with everything through `seq`.
    fn removals_through(&self, index: &Index, seq: u64) -> io::Result<Vec<Removal>> {
        let mut all = Vec::new();
        let state = self.shared.state.read();
        for (topic, stat) in index.topics() {
            let (first, last) = index.span(&stat);
            let floor = state.topics.floor(topic.into());
            if floor >= last || first > seq {
                continue;
            }
            let gone = if floor < first && last <= seq {
                Removal {
                    topic: topic.clone(),
                    floor: last,
                    count: u64::from(stat.count),
                    bytes: stat.bytes,
                }
            } else {
                let slots = index.slots(&stat, floor, seq)?;
                let Some(newest) = slots.last() else {
                    continue;
                };
                Removal {
                    topic: topic.clone(),
                    floor: index.seq(newest),
                    count: slots.len() as u64,
                    bytes: slots.iter().map(|slot| u64::from(slot.bytes)).sum(),
                }
            };
            all.push(gone);
        }
        Ok(all)
    }

    /// Removes the oldest events until `most` are left.
    fn trim_to(&mut self, most: u64) -> Result<(), StoreError> {
        let segments = self.shared.state.read().segments.clone();
        for segment in segments {
            let excess = self.reader().events().saturating_sub(most);
            if excess == 0 {
                break;
            }
            if segment.end() <= self.ages.trimmed {
                continue;
            }
            let mut seqs = self.in_index(&segment, Self::live_seqs)?;
            let end = match usize::try_from(excess) {
                Ok(excess) if excess <= seqs.len() => {
                    let (_, seq, _) = seqs.select_nth_unstable(excess - 1);
                    *seq
                }
                _ => segment.end(),
            };
            self.trim_through(end)?;
        }
        Ok(())
    }

    fn live_seqs(&self, index: &Index) -> io::Result<Vec<u64>> {
        let state = self.shared.state.read();
        let mut seqs = Vec::new();
        for (topic, stat) in index.topics() {
            let floor = state.topics.floor(topic.into());
            let slots = index.slots(&stat, floor, u64::MAX)?;
            seqs.extend(slots.iter().map(|slot| index.seq(slot)));
        }
        Ok(seqs)
    }

    /// Removes the oldest segments until all files together have at most `most` bytes.
    fn trim_bytes(&mut self, most: u64) -> Result<(), StoreError> {
        let segments = self.shared.state.read().segments.clone();
        let files = &self.shared.files;
        let sizes: Vec<u64> = segments.iter().map(|segment| segment.size(files)).collect();
        let mut bytes = sizes.iter().sum::<u64>() + self.side_bytes();
        let closed = segments.len().saturating_sub(1);
        for (segment, size) in segments.into_iter().zip(sizes).take(closed) {
            if bytes <= most {
                break;
            }
            bytes -= size;
            self.trim_through(segment.end())?;
        }
        Ok(())
    }

    /// Returns the bytes of the other files, without the meta files, which never grow.
    fn side_bytes(&self) -> u64 {
        let io = &*self.shared.files.io;
        let len = |name| io.open(name).and_then(|file| file.len()).unwrap_or(0);
        let names = [floors::NAME, keys::NAME, publishers::NAME];
        names.map(len).into_iter().sum()
    }

    /// Removes the first segments from the disk while they have no retained events.
    fn remove_dead(&mut self, trimmed: &mut Trimmed) -> Result<(), StoreError> {
        loop {
            let (segment, next) = {
                let state = self.shared.state.read();
                let [segment, next, ..] = &state.segments[..] else {
                    return Ok(());
                };
                (Arc::clone(segment), next.first)
            };
            let live = self.in_index(&segment, |store, index| Ok(store.live(index)))?;
            if live.0 > 0 {
                return Ok(());
            }
            let holes = segment.index(&self.shared.files, |index| index.holes().last().copied());
            let holes = holes.map_err(StoreError::io("read an index"))?;
            {
                // Readers that have not reached the loss yet must still learn of it.
                let mut state = self.shared.state.write();
                let lost = holes.map_or(0, |(_, to)| to);
                let behind = if next - 1 > segment.end() {
                    next - 1
                } else {
                    0
                };
                state.topics.missing = state.topics.missing.max(lost).max(behind);
                state.topics.begin = state.topics.begin.max(next - 1);
            }
            self.floors_changed = true;
            self.save_floors()?;
            self.save_keys(&segment)?;
            // The file is removed first. If it stays, it must not come back without the segments
            // after it.
            self.remove_files(segment.first)?;
            self.shared.state.write().segments.remove(0);
            self.shared.files.forget(&segment);
            trimmed.segments += 1;
            trimmed.bytes += segment.len();
            let mut state = self.shared.state.write();
            state
                .topics
                .forget_idle(self.options.max_idle_floors, next - 1);
        }
    }

    /// Returns the approximate number of retained events in a segment and their bytes.
    fn live(&self, index: &Index) -> (u64, u64) {
        let state = self.shared.state.read();
        let (mut count, mut bytes) = (0, 0);
        for (topic, stat) in index.topics() {
            let (first, last) = index.span(&stat);
            let floor = state.topics.floor(topic.into());
            if floor < first {
                count += u64::from(stat.count);
                bytes += stat.bytes;
            } else if floor < last {
                let share = share(&stat, floor - first, last - first);
                count += share.0;
                bytes += share.1;
            }
        }
        (count, bytes)
    }

    fn remove_files(&mut self, first: u64) -> Result<(), StoreError> {
        let files = &self.shared.files.io;
        // A remaining index does no harm.
        let _ = files.remove(&index_name(first));
        let removed = match files.remove(&segment_name(first)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        };
        // If a crash restores the segment, its events are still below their floors.
        removed.map_err(StoreError::io("remove a segment"))?;
        let mut health = self.shared.health.lock();
        if *health == Health::Full {
            *health = Health::Good;
        }
        Ok(())
    }

    /// Raises the floors.
    fn apply(&mut self, gone: Vec<Removal>) {
        let mut state = self.shared.state.write();
        for gone in gone {
            (self.floors_changed, self.may_be_dead) = (true, true);
            let topic = (&gone.topic).into();
            state
                .topics
                .raise(topic, gone.floor, gone.count, gone.bytes);
            self.raised.push((gone.topic, gone.floor));
        }
    }

    /// Asks an index. A damaged one is rebuilt and asked again.
    fn in_index<T>(
        &self,
        segment: &Arc<Segment>,
        ask: impl Fn(&Self, &Index) -> io::Result<T>,
    ) -> Result<T, StoreError> {
        let files = &self.shared.files;
        let once = || {
            segment
                .index(files, |index| ask(self, index))
                .and_then(|found| found)
        };
        once()
            .or_else(|_| {
                segment.distrust(files);
                once()
            })
            .map_err(StoreError::io("read an index"))
    }

    /// Returns the seq up to which events are at least `limit` old; 0 if none is.
    pub(super) fn expired(&self, limit: Duration, age: Age) -> u64 {
        let ages = &self.ages;
        let here = ages.expired_here(limit, age.since_open);
        if here > 0 {
            return here;
        }
        let since_last = age.since_open.saturating_add(age.closed);
        if since_last >= limit {
            return ages.opened;
        }
        let rest = limit - since_last;
        let rest = u64::try_from(rest.as_micros()).unwrap_or(u64::MAX);
        match ages.last_time.checked_sub(rest) {
            // Events of that very time are just as old.
            Some(latest) => {
                let [next, until] = [latest + 1, ages.last_time].map(Timestamp::from_micros);
                (self.reader().seq_at(next, until) - 1).min(ages.opened)
            }
            None => 0,
        }
    }
}

/// Estimates what is left of a topic that lost `gone` of `all` seqs: at least one, if it is not all
/// of them.
fn share(stat: &Stat, gone: u64, all: u64) -> (u64, u64) {
    let part = |whole: u64| {
        let left = u128::from(whole) * u128::from(all - gone) / u128::from(all.max(1));
        (left as u64).max(1)
    };
    (part(u64::from(stat.count)), part(stat.bytes))
}
