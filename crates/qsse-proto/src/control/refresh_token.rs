//! `RefreshToken`: a new token before the old one ends.

use super::Token;
use serde::{Deserialize, Serialize};

/// Replaces the connection's token (`QP-4.8`).
///
/// ```text
/// 0x04 | token text |
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshToken {
    /// What holds from now on, if the server accepts it.
    pub token: Token,
}
