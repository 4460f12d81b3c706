//! `AcknowledgedEpoch`: the epoch of the acknowledgements that follow.

use crate::event_id::Epoch;
use serde::{Deserialize, Serialize};

/// The seqs of the following acknowledgements belong to this epoch, not to that of `Welcome`
/// (`QP-8.16`).
///
/// ```text
/// 0x3a | epoch v |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcknowledgedEpoch {
    /// The epoch.
    pub epoch: Epoch,
}
