//! `Welcome`: the answer to `Hello`.

use super::text;
use crate::event_id::Epoch;
use serde::{Deserialize, Serialize};

/// The client is authenticated; these are the server's terms (`QP-4.5`).
///
/// ```text
/// 0x11 | features v | agent text | epoch v | max event bytes v |
///      | max subscriptions v | heartbeat ms v | idle timeout ms v |
///      | dedup window ms v | dedup keys v | identity v |
///      | publisher window ms v | publishers v |
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Which of the client's optional parts the server knows too.
    pub features: u64,
    /// The name and version of the server's software, for logs. Cut to 128 bytes when sent.
    #[serde(serialize_with = "text::agent")]
    pub agent: String,
    /// The log that the server's events belong to.
    pub epoch: Epoch,
    /// How much data an event may have.
    pub max_event_bytes: u32,
    /// How many subscriptions the connection may have at a time.
    pub max_subscriptions: u32,
    /// How long a subscription's stream is quiet before a heartbeat, in milliseconds; 0 is never.
    pub heartbeat_ms: u32,
    /// How long the server waits for a packet before it gives the connection up, in milliseconds.
    pub idle_timeout_ms: u32,
    /// How long the server knows the key of a publish (`QP-8.13`), in milliseconds.
    pub dedup_window_ms: u32,
    /// How many keys it knows at most, of all publishers together; the oldest are forgotten first.
    pub dedup_keys: u32,
    /// Who the client is, as far as the keys of its application go: a number that is another one when those keys count within something
    /// else (`QP-8.15`).
    pub identity: u64,
    /// How long the server knows the last number of a publisher that is idle (`QP-8.18`), in milliseconds.
    pub publisher_window_ms: u32,
    /// How many publishers it knows at most; the most idle ones are forgotten first.
    pub publishers: u32,
}
