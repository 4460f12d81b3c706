//! `Goodbye`: the server is shutting down.

use super::text;
use crate::code::Code;
use serde::{Deserialize, Serialize};

/// The server drains: it accepts nothing new, and ends every stream in order (`QP-9.1`).
///
/// ```text
/// 0x14 | code v | message text | retry after ms ? v | address ? text |
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// The reason; usually [`Code::SHUTTING_DOWN`].
    pub code: Code,
    /// The reason in words. It is cut to 256 bytes when sent.
    #[serde(serialize_with = "text::reason")]
    pub message: String,
    /// How long to wait before reconnecting, in milliseconds.
    pub retry_after_ms: Option<u32>,
    /// Where to connect instead, as a server URL without secrets.
    pub address: Option<String>,
}
