//! `Goodbye`: the server is going away.

use super::text;
use crate::code::Code;
use serde::{Deserialize, Serialize};

/// The server drains: it takes nothing new, and every stream ends in order (`QP-9.1`).
///
/// ```text
/// 0x14 | code v | message text | retry after ms ? v | address ? text |
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Why; usually [`Code::SHUTTING_DOWN`].
    pub code: Code,
    /// Why, for people. Cut to 256 bytes when sent.
    #[serde(serialize_with = "text::reason")]
    pub message: String,
    /// How long to wait before connecting again, in milliseconds.
    pub retry_after_ms: Option<u32>,
    /// Where to connect instead, as a server URL without secrets.
    pub address: Option<String>,
}
