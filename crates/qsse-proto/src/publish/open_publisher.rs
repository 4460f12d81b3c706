//! `OpenPublisher`: what sort of publishing follows.

use serde::{Deserialize, Serialize};

/// The first frame of a publishing stream (`QP-8.1`).
///
/// ```text
/// 0x30 | ordered u8, 0 or 1 |
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPublisher {
    /// Whether a refused publish refuses all behind it, so that none is taken out of turn.
    pub ordered: bool,
}
