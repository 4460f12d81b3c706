//! `Subscribed`: the subscription was taken.

use crate::event_id::EventId;
use serde::{Deserialize, Serialize};

/// Confirms a subscription: every event published after `position` that matches will be written to its
/// stream (`QP-5.4`).
///
/// ```text
/// 0x12 | id v | epoch v | seq v |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribed {
    /// Which subscription.
    pub id: u32,
    /// Where its stream begins: the same as in the stream's header.
    pub position: EventId,
}
