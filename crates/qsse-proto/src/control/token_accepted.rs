//! `TokenAccepted`: the new token applies.

use serde::{Deserialize, Serialize};

/// The answer to `RefreshToken`. A token that is not accepted closes the connection (`QP-4.8`).
///
/// ```text
/// 0x15 | expires in ms ? v |
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenAccepted {
    /// How long the token is valid, in milliseconds from now. Absent if it does not expire.
    pub expires_in_ms: Option<u64>,
}
