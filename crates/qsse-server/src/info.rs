//! What a server reports of itself, of its clients and of its topics.

use std::net::SocketAddr;
use std::time::Duration;

use qsse_proto::{EventId, human_duration};
use qsse_topic::{Filter, Topic};
use serde::{Deserialize, Serialize};

/// A client that was let in, as [`Server::connections`](crate::Server::connections) reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The number of the connection. No other connection of this server has had it.
    pub id: u64,
    /// The name of its principal.
    pub principal: String,
    /// What names its token, if anything does.
    pub token_id: Option<String>,
    /// The prefix that its principal is confined to.
    pub namespace: Option<Topic>,
    /// Where it connects from now.
    pub address: SocketAddr,
    /// Its protocol: `qsse/1`, or the ALPN of the Go dialect.
    pub protocol: String,
    /// How long it has been let in.
    #[serde(with = "human_duration")]
    pub connected_for: Duration,
    /// Its subscriptions that were accepted.
    pub subscriptions: Vec<SubscriptionInfo>,
    /// Bytes sent to it, including all overhead.
    pub bytes_sent: u64,
    /// Bytes received from it, including all overhead.
    pub bytes_received: u64,
    /// The estimated round-trip time.
    #[serde(with = "human_duration")]
    pub rtt: Duration,
}

impl ConnectionInfo {
    /// Returns the largest [`lag`](SubscriptionInfo::lag) of its subscriptions; 0 without any.
    pub fn lag(&self) -> u64 {
        let lags = self
            .subscriptions
            .iter()
            .map(|subscription| subscription.lag);
        lags.max().unwrap_or(0)
    }
}

/// A subscription of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubscriptionInfo {
    /// The id that the client gave it; 0 in the Go dialect.
    pub id: u32,
    /// What it is subscribed to. In a namespace, with its prefix.
    pub filter: Filter,
    /// The number of events of the log after the last one that was written to its stream; 0 if it
    /// has everything. It counts events that do not match, so it is a maximum.
    pub lag: u64,
}

/// A topic, as [`Server::topics`](crate::Server::topics) reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Its name.
    pub topic: Topic,
    /// Its newest event in the history.
    pub last: Option<EventId>,
    /// The number of its events in the history. A store may have more.
    pub events: usize,
}

/// The state of a server, as [`Server::status`](crate::Server::status) reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServerStatus {
    /// The version of the library.
    pub version: String,
    /// The address that it listens on.
    pub address: SocketAddr,
    /// Whether it accepts clients and publishes.
    pub state: ServerState,
    /// How long it has been running.
    #[serde(with = "human_duration")]
    pub uptime: Duration,
    /// The newest event.
    pub last_event: EventId,
    /// Clients that were let in.
    pub connections: usize,
    /// Subscriptions of these clients.
    pub subscriptions: usize,
    /// Those of them that do not have every event yet.
    pub behind: usize,
    /// Topics that are declared or have an event.
    pub topics: usize,
    /// Events in the history.
    pub history_events: u64,
    /// Bytes allocated for the history.
    pub history_bytes: usize,
    /// Distinct filters with a live tail.
    pub feeds: usize,
    /// Bytes allocated for the live tails.
    pub feed_bytes: usize,
    /// Revocations that are remembered.
    pub revocations: usize,
    /// Why publishing does not work, if so.
    pub problem: Option<String>,
}

/// Whether a server accepts clients and publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ServerState {
    /// It does.
    Serving,
    /// It accepts nothing new, and clients read to the end.
    Draining,
    /// It has ended.
    Closed,
}
