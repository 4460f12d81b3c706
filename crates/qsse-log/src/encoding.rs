//! [`Encoding`]: other forms of a batch than its frame.

use bytes::Bytes;
use qsse_proto::batch::Batch;

/// How batches are encoded for subscribers that do not read frames.
///
/// [`Reader::encoded`](crate::Reader::encoded) encodes each batch of a feed once for all of its
/// readers. Different encodings of one log must have different names.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    pub(crate) name: &'static str,
    pub(crate) encode: fn(&Batch) -> Bytes,
}

impl Encoding {
    /// Creates an encoding with a name and a function that encodes a batch.
    pub const fn new(name: &'static str, encode: fn(&Batch) -> Bytes) -> Self {
        Self { name, encode }
    }
}
