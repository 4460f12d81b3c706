//! What a [`Storage`] is given and returns: all that is needed to implement one.

pub use qsse_log::{
    Acknowledge, Entry, Lineage, Now, PublishKey, PublisherId, PublisherRun, PublisherState,
    Recovered, Span, Storage, StorageError, StoredEvents,
};
pub use qsse_proto::batch::{Batch, EventRef};
pub use qsse_proto::{Epoch, Timestamp};
