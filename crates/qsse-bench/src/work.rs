//! What a run is made of: the orders that the judge gives to a server's and to a load's process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A system under measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// A qsse server and its clients
    Qsse,
    /// The same server with two shards; takes part only where it is named
    QsseShards,
    /// The same server, and clients in sessions of WebTransport, as browsers have them
    Wt,
    /// A writer of 64 KiB chunks on the same transport settings, and readers that count bytes
    RawQuinn,
    /// The same with the settings that are best for it
    RawQuinnBest,
    /// A qsse server over HTTP/2, TLS over TCP: server-sent events, and a request for each publish
    HttpH2,
    /// The same, publishing thousands of lines of JSON in each request
    HttpLines,
    /// Server-sent events over HTTP/2: axum, a broadcast channel, TLS over TCP
    SseH2,
    /// A nats-server with TLS
    Nats,
    /// The Go library's server
    GoQsse,
}

impl Peer {
    /// As it is shown.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Qsse => "qsse",
            Self::QsseShards => "qsse-shards",
            Self::Wt => "wt",
            Self::RawQuinn => "raw-quinn",
            Self::RawQuinnBest => "raw-quinn-best",
            Self::HttpH2 => "http-h2",
            Self::HttpLines => "http-lines",
            Self::SseH2 => "sse-h2",
            Self::Nats => "nats",
            Self::GoQsse => "go-qsse",
        }
    }

    /// As the keys of a machine-readable file begin.
    pub(crate) fn key(self) -> String {
        self.name().replace('-', "_")
    }

    /// Whether it is the limit rather than a system.
    pub(crate) fn is_raw(self) -> bool {
        matches!(self, Self::RawQuinn | Self::RawQuinnBest)
    }
}

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Publishes as fast as the subscribers take it, each event to each of them.
    Flood,
    /// Publishes this many events a second, each to each subscriber.
    Steady {
        /// Events a second.
        events_per_s: f64,
    },
    /// Lets clients come and go.
    Welcome,
    /// Takes what clients publish.
    Take,
}

/// What both processes of a run are told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Work {
    /// The system.
    pub(crate) peer: Peer,
    /// What its server does.
    pub(crate) task: Task,
    /// Bytes of one event's data.
    pub(crate) event_bytes: usize,
    /// The folder with certificate and key.
    pub(crate) certificates: PathBuf,
    /// Whether TLS sessions are resumed.
    pub(crate) resumed: bool,
    /// Where the server is that this process publishes to; only where that is another process.
    pub(crate) server: Option<SocketAddr>,
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Subscribe, and count what comes.
    Receive,
    /// Subscribe and stay.
    Hold,
    /// Connect, subscribe and leave, again and again.
    Storm,
    /// Publish as fast as the server takes it.
    Publish,
}

/// What the clients' process is told besides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    /// The run.
    pub(crate) work: Work,
    /// What the clients do.
    pub(crate) role: Role,
    /// The server's address.
    pub(crate) address: SocketAddr,
    /// The server's certificate, where it made its own.
    pub(crate) fingerprint: Option<String>,
    /// How many clients there are, or how many connect at a time.
    pub(crate) clients: usize,
    /// Whether each subscribes to a topic of its own.
    pub(crate) distinct: bool,
    /// Time before the window that counts.
    pub(crate) warm_up: Duration,
    /// The window that counts.
    pub(crate) window: Duration,
}

/// What the clients' process tells at its end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// What was counted inside the window: deliveries, connects or publishes.
    pub(crate) count: u64,
    /// How long the window was in the end.
    pub(crate) seconds: f64,
    /// The smallest count of one client, as a share of the mean.
    pub(crate) slowest_share: f64,
    /// How long what was counted took, where that was looked at.
    pub(crate) latency: Option<Latency>,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// Half took at most this long.
    pub(crate) p50: f64,
    /// 99 of 100.
    pub(crate) p99: f64,
    /// 999 of 1,000.
    pub(crate) p999: f64,
    /// The longest.
    pub(crate) max: f64,
}
