//! `PublishRefused`: a publish was refused.

use crate::code::Code;
use crate::control::reason;
use serde::{Deserialize, Serialize};

/// Publish number `number` was refused; none of its events was appended (`QP-8.6`).
///
/// ```text
/// 0x39 | number v | code v | message text |
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishRefused {
    /// The number of the publish on its stream, from 0.
    pub number: u64,
    /// The reason.
    pub code: Code,
    /// The reason in words. It is cut to 256 bytes when sent.
    #[serde(serialize_with = "reason")]
    pub message: String,
}
