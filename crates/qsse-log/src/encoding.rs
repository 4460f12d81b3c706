//! [`Encoding`]: other forms of a batch than its frame.

use bytes::Bytes;
use qsse_proto::Epoch;
use qsse_proto::batch::Batch;

/// How batches are encoded for subscribers that do not read frames.
///
/// [`Reader::encoded`](crate::Reader::encoded) encodes each batch of a feed once for all of its
/// readers. Different encodings of one log must have different names.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    name: &'static str,
    encode: fn(&Batch, Epoch) -> Bytes,
    /// Bytes that are removed from the beginning of each topic's name.
    prefix: usize,
}

impl Encoding {
    /// Creates an encoding with a name and a function that encodes a batch, all of whose events are
    /// of one epoch.
    pub const fn new(name: &'static str, encode: fn(&Batch, Epoch) -> Bytes) -> Self {
        let prefix = 0;
        Self {
            name,
            encode,
            prefix,
        }
    }

    /// Encodes batches without the first `bytes` bytes of each topic's name, for subscribers whose
    /// filter matches only names that begin in the same way.
    #[must_use]
    pub const fn without_prefix(self, bytes: usize) -> Self {
        Self {
            prefix: bytes,
            ..self
        }
    }

    /// Returns what tells encodings apart.
    pub(crate) fn key(&self) -> (&'static str, usize) {
        (self.name, self.prefix)
    }

    pub(crate) fn encode(&self, batch: &Batch, epoch: Epoch) -> Bytes {
        match self.prefix {
            0 => (self.encode)(batch, epoch),
            bytes => (self.encode)(&batch.without_prefix(bytes), epoch),
        }
    }
}
