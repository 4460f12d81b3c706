//! `Subscribed`: a subscription was accepted.

use crate::event_id::EventId;
use serde::{Deserialize, Serialize};

/// Confirms a subscription: every matching event that is published after `position` will be written
/// to its stream (`QP-5.4`).
///
/// ```text
/// 0x12 | id v | epoch v | seq v |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribed {
    /// The client's number of the subscription.
    pub id: u32,
    /// The position at which its stream begins, as in the stream's header.
    pub position: EventId,
}
