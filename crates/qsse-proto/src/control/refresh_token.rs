//! `RefreshToken`: a new token before the old one expires.

use super::Token;
use serde::{Deserialize, Serialize};

/// Replaces the connection's token (`QP-4.8`).
///
/// ```text
/// 0x04 | token text |
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshToken {
    /// The new token. It applies once the server has accepted it.
    pub token: Token,
}
