//! `PublishRefused`: a publish was not taken.

use crate::code::Code;
use crate::control::reason;
use serde::{Deserialize, Serialize};

/// Publish number `number` was not taken; nothing of it was appended (`QP-8.6`).
///
/// ```text
/// 0x39 | number v | code v | message text |
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishRefused {
    /// Which publish of the stream, from 0.
    pub number: u64,
    /// Why.
    pub code: Code,
    /// Why, for people. Cut to 256 bytes when sent.
    #[serde(serialize_with = "reason")]
    pub message: String,
}
