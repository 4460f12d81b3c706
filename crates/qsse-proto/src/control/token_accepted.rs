//! `TokenAccepted`: the new token holds.

use serde::{Deserialize, Serialize};

/// The answer to `RefreshToken`; a token that is not accepted closes the connection (`QP-4.8`).
///
/// ```text
/// 0x15 | expires in ms ? v |
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenAccepted {
    /// How long it holds, in milliseconds from now; without end if absent.
    pub expires_in_ms: Option<u64>,
}
