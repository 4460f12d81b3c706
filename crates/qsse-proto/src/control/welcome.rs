//! `Welcome`: the answer to `Hello`.

use super::text;
use crate::event_id::Epoch;
use serde::{Deserialize, Serialize};

/// The client is authenticated. The fields are the server's terms (`QP-4.5`).
///
/// ```text
/// 0x11 | features v | agent text | epoch v | max event bytes v |
///      | max subscriptions v | heartbeat ms v | idle timeout ms v |
///      | dedup window ms v | dedup keys v | identity v |
///      | publisher window ms v | publishers v |
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The optional parts that the server supports too.
    pub features: u64,
    /// The name and version of the server's software, for logs. It is cut to 128 bytes when sent.
    #[serde(serialize_with = "text::agent")]
    pub agent: String,
    /// The epoch of the server's log.
    pub epoch: Epoch,
    /// The most bytes of data that an event may have.
    pub max_event_bytes: u32,
    /// How many subscriptions the connection may have at a time.
    pub max_subscriptions: u32,
    /// How long a subscription's stream is quiet before a heartbeat, in milliseconds. 0 means
    /// never.
    pub heartbeat_ms: u32,
    /// How long the server waits for a packet before it closes the connection, in milliseconds.
    pub idle_timeout_ms: u32,
    /// How long the server remembers the key of a publish (`QP-8.13`), in milliseconds.
    pub dedup_window_ms: u32,
    /// How many keys of all publishers it remembers at most. The oldest are forgotten first.
    pub dedup_keys: u32,
    /// A number for the deduplication scope of the client's own keys. It changes when those keys
    /// count in another scope (`QP-8.15`).
    pub identity: u64,
    /// How long the server remembers the last number of an idle publisher (`QP-8.18`), in
    /// milliseconds.
    pub publisher_window_ms: u32,
    /// How many publishers it remembers at most. Those idle for longest are forgotten first.
    pub publishers: u32,
}
