//! What is written at once: a batch with the keys of its events.

use crate::error::StoreError;
use crate::format::Fields;
use bytes::Bytes;
use qsse_proto::Batch;

/// The longest key, in bytes.
pub const KEY_BYTES: usize = 64;

/// What tells a second publish of the same event from a new one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublishKey {
    /// Whose keys these are: a hash of the principal and the publisher's name.
    pub scope: [u8; 16],
    /// The publisher's key, at most [`KEY_BYTES`].
    pub key: Bytes,
}

/// Events that are written in one piece: after a crash all of them are there, or none.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The events, of any topics.
    pub batch: Batch,
    /// The keys of those that have one, with their seqs, which rise.
    pub keys: Vec<(u64, PublishKey)>,
}

impl From<Batch> for Entry {
    fn from(batch: Batch) -> Self {
        let keys = Vec::new();
        Self { batch, keys }
    }
}

impl Entry {
    /// What is wrong with it by itself, if anything.
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
        if self.keys.iter().any(|(_, key)| key.key.len() > KEY_BYTES) {
            return fail("a key is longer than 64 bytes");
        }
        let mut seqs = self.keys.iter().map(|(seq, _)| *seq);
        if !seqs.all(|seq| (first..=last).contains(&seq)) {
            return fail("a key belongs to no event of its batch");
        }
        if !self.keys.is_sorted_by(|a, b| a.0 < b.0) {
            return fail("the seqs of the keys do not rise");
        }
        Ok(())
    }
}

/// Far more than any limit on events that a server would set.
const MAX_BATCH: usize = 256 << 20;

/// Writes keys as `| seq - first u32 | scope 16 | length u8 | key |`, one after the other.
pub(crate) fn put_keys<'a>(
    out: &mut Vec<u8>,
    first_seq: u64,
    keys: impl IntoIterator<Item = &'a (u64, PublishKey)>,
) {
    for (seq, key) in keys {
        // `check` bounds both.
        out.extend_from_slice(&((seq - first_seq) as u32).to_le_bytes());
        out.extend_from_slice(&key.scope);
        out.push(key.key.len() as u8);
        out.extend_from_slice(&key.key);
    }
}

/// Reads what [`put_keys`] wrote; `None` if it is something else.
pub(crate) fn read_keys(bytes: &[u8], first_seq: u64) -> Option<Vec<(u64, PublishKey)>> {
    let mut fields = Fields::new(bytes);
    let mut keys = Vec::new();
    while !fields.is_empty() {
        let seq = first_seq.checked_add(u64::from(fields.u32()?))?;
        let scope = fields.array()?;
        let len = fields.array::<1>()?[0];
        let key = Bytes::copy_from_slice(fields.bytes(usize::from(len))?);
        keys.push((seq, PublishKey { scope, key }));
    }
    Some(keys)
}
