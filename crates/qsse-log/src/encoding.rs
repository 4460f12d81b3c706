//! Other forms of a batch than its frame.

use bytes::Bytes;
use qsse_proto::batch::Batch;

/// How batches are written for subscribers that do not read frames.
///
/// [`Reader::encoded`](crate::Reader::encoded) writes each batch of a feed once for all of its readers. Two encodings of
/// one log have different names.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    pub(crate) name: &'static str,
    pub(crate) encode: fn(&Batch) -> Bytes,
}

impl Encoding {
    /// An encoding by its name and what writes it.
    pub const fn new(name: &'static str, encode: fn(&Batch) -> Bytes) -> Self {
        Self { name, encode }
    }
}
