//! `Unsubscribe`: no more of it.

use serde::{Deserialize, Serialize};

/// Ends a subscription; the same as asking its stream to stop (`QP-5.8`).
///
/// ```text
/// 0x03 | id v |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribe {
    /// Which subscription.
    pub id: u32,
}
