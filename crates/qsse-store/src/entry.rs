//! [`Entry`]: a batch that is written as a whole, with its keys and runs.

use crate::error::StoreError;
use crate::format::{Fields, ONLY_RUNS, Record};
use bytes::Bytes;
use qsse_proto::Batch;

/// The longest key, in bytes.
pub const KEY_BYTES: usize = 64;

/// The key of a publish, which identifies repetitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublishKey {
    /// The scope of the key: a hash of the principal and the publisher's name.
    pub scope: [u8; 16],
    /// The key, of 1 to [`KEY_BYTES`] bytes.
    pub key: Bytes,
}

/// Events that are written as a whole: after a crash all of them are there, or none.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The events, of any topics.
    pub batch: Batch,
    /// The keys of events, with the seqs of their events in rising order.
    pub keys: Vec<(u64, PublishKey)>,
    /// The runs of publishers that number their publishes.
    pub runs: Vec<PublisherRun>,
}

/// Publishes of one publisher with consecutive numbers, whose events have consecutive seqs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublisherRun {
    /// The publisher: a hash of its scope and name.
    pub publisher: [u8; 16],
    /// The number of the first publish.
    pub number: u64,
    /// How many publishes. Each has one event, unless there is only one publish.
    pub count: u32,
    /// The seq of the first event. The run of a publish with events in several entries belongs to
    /// the last one.
    pub first: u64,
    /// How many events.
    pub events: u32,
}

impl PublisherRun {
    /// Returns whether `next` continues this run, so that they can be joined.
    pub(crate) fn goes_on(&self, next: &Self) -> bool {
        let singles = self.count == self.events && next.count == next.events;
        let numbers = self.number.checked_add(u64::from(self.count)) == Some(next.number);
        let seqs = self.first.checked_add(u64::from(self.events)) == Some(next.first);
        singles && numbers && seqs && self.count.checked_add(next.count).is_some()
    }

    fn last_seq(&self) -> u64 {
        self.first
            .saturating_add(u64::from(self.events))
            .saturating_sub(1)
    }

    /// Writes all fields but the publisher and the seq.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.events.to_le_bytes());
    }

    /// Reads what [`put`](Self::put) wrote.
    pub(crate) fn read(fields: &mut Fields<'_>, publisher: [u8; 16]) -> Option<Self> {
        let (number, count, events) = (fields.u64()?, fields.u32()?, fields.u32()?);
        let sane = count > 0 && number.checked_add(u64::from(count)).is_some();
        sane.then_some(Self {
            publisher,
            number,
            count,
            first: 0,
            events,
        })
    }
}

impl From<Batch> for Entry {
    fn from(batch: Batch) -> Self {
        let (keys, runs) = (Vec::new(), Vec::new());
        Self { batch, keys, runs }
    }
}

impl Entry {
    /// Returns the record of the entry at `offset` of its segment.
    pub(crate) fn record(&self, offset: u32) -> Record {
        let keys: usize = self.keys.iter().map(|(_, key)| 21 + key.key.len()).sum();
        let runs = self.runs.len() * RUN_BYTES;
        let only_runs = if keys == 0 && runs > 0 { ONLY_RUNS } else { 0 };
        let batch = &self.batch;
        Record {
            offset,
            // Bounded by `check`. Keys and runs are fewer than events.
            batch_len: batch.bytes().len() as u32,
            keys_len: u32::try_from(keys + runs).unwrap_or(!ONLY_RUNS) | only_runs,
            count: batch.count(),
            after: batch.first_seq() - 1,
            first_seq: batch.first_seq(),
            last_seq: batch.last_seq(),
            first_time: batch.first_time().as_micros(),
            last_time: batch.last_time().as_micros(),
        }
    }

    /// Checks the entry by itself.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let fail = |what| Err(StoreError::Entry { what });
        let (first, last) = (self.batch.first_seq(), self.batch.last_seq());
        if first == 0 {
            return fail("events count from 1");
        }
        if last - first > u64::from(u32::MAX) / 2 {
            return fail("the seqs of a batch are too far apart");
        }
        if self.batch.bytes().len() > MAX_BATCH {
            return fail("the batch is longer than 256 MiB");
        }
        let mut lengths = self.keys.iter().map(|(_, key)| key.key.len());
        if !lengths.all(|len| (1..=KEY_BYTES).contains(&len)) {
            return fail("a key is empty or longer than 64 bytes");
        }
        let mut seqs = self.keys.iter().map(|(seq, _)| *seq);
        if !seqs.all(|seq| (first..=last).contains(&seq)) {
            return fail("a key belongs to no event of its batch");
        }
        if !self.keys.is_sorted_by(|a, b| a.0 < b.0) {
            return fail("the seqs of the keys do not rise");
        }
        let mut ends = self.runs.iter().map(PublisherRun::last_seq);
        if !ends.all(|seq| (first..=last).contains(&seq)) {
            return fail("what a publisher has published is not in its batch");
        }
        let sane = |run: &PublisherRun| {
            let (count, events) = (run.count, run.events);
            let last = run.number.checked_add(u64::from(count));
            events > 0 && last.is_some() && (count == 1 || count == events)
        };
        if !self.runs.iter().all(sane) {
            return fail("what a publisher has published is not a run");
        }
        Ok(())
    }
}

/// Far above any sensible limit on events.
const MAX_BATCH: usize = 256 << 20;

/// Writes keys, each as `| seq - first u32 | scope 16 | length u8 | key |`.
pub(crate) fn put_keys<'a>(
    out: &mut Vec<u8>,
    first_seq: u64,
    keys: impl IntoIterator<Item = &'a (u64, PublishKey)>,
) {
    for (seq, key) in keys {
        // Both are bounded by `check`.
        out.extend_from_slice(&((seq - first_seq) as u32).to_le_bytes());
        out.extend_from_slice(&key.scope);
        out.push(key.key.len() as u8);
        out.extend_from_slice(&key.key);
    }
}

/// Writes runs, each as `| last seq - first u32 | publisher 16 | 0 u8 | number u64 | count u32 |
/// events u32 |`. The 0 is where a key has its length, which is never 0.
pub(crate) fn put_runs(out: &mut Vec<u8>, first_seq: u64, runs: &[PublisherRun]) {
    for run in runs {
        // Bounded by `check`.
        out.extend_from_slice(&((run.last_seq() - first_seq) as u32).to_le_bytes());
        out.extend_from_slice(&run.publisher);
        out.push(0);
        run.put(out);
    }
}

/// The length of a run in bytes.
pub(crate) const RUN_BYTES: usize = 21 + 16;

/// Reads the keys that [`put_keys`] and [`put_runs`] wrote; `None` if the bytes are something else.
pub(crate) fn read_keys(bytes: &[u8], first_seq: u64) -> Option<Vec<(u64, PublishKey)>> {
    read_tail(bytes, first_seq).map(|(keys, _)| keys)
}

/// Reads the runs that [`put_keys`] and [`put_runs`] wrote; `None` if the bytes are something else.
pub(crate) fn read_runs(bytes: &[u8], first_seq: u64) -> Option<Vec<PublisherRun>> {
    read_tail(bytes, first_seq).map(|(_, runs)| runs)
}

/// Keys with the seqs of their events, and runs.
type Tail = (Vec<(u64, PublishKey)>, Vec<PublisherRun>);

fn read_tail(bytes: &[u8], first_seq: u64) -> Option<Tail> {
    let mut fields = Fields::new(bytes);
    let (mut keys, mut runs) = (Vec::new(), Vec::new());
    while !fields.is_empty() {
        let seq = first_seq.checked_add(u64::from(fields.u32()?))?;
        let scope = fields.array()?;
        let len = fields.array::<1>()?[0];
        if len == 0 {
            let mut run = PublisherRun::read(&mut fields, scope)?;
            run.first = (seq + 1).checked_sub(u64::from(run.events))?;
            runs.push(run);
            continue;
        }
        let key = Bytes::copy_from_slice(fields.bytes(usize::from(len))?);
        keys.push((seq, PublishKey { scope, key }));
    }
    Some((keys, runs))
}
