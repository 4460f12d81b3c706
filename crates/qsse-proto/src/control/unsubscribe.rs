//! `Unsubscribe`: ends a subscription.

use serde::{Deserialize, Serialize};

/// Ends a subscription. This is equivalent to stopping its stream (`QP-5.8`).
///
/// ```text
/// 0x03 | id v |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribe {
    /// The client's number of the subscription.
    pub id: u32,
}
