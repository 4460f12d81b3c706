//! The settings of a server, as plain data.

use std::time::Duration;

use qsse_proto::limits::SettingError;
use qsse_proto::{ALPN, GO_ALPN};
use qsse_transport::TransportConfig;
use serde::{Deserialize, Serialize};

/// Settings of a [`Server`](crate::Server). Every limit has its reason beside it.
///
/// ```
/// let config = qsse_server::Config::default().max_subscriptions(16);
/// assert_eq!(config.max_subscriptions, 16);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Bounds of history and feeds.
    pub log: qsse_log::Config,
    /// What a store in a directory keeps. Default: everything.
    #[cfg(feature = "store")]
    pub store: qsse_log::disk::DiskRetention,
    /// Limits, windows and timeouts of the connections.
    pub transport: TransportConfig,
    /// Also serve clients of the Go library `snapp-incubator/qsse`, on the same port. Default `false`: they are not told of gaps by
    /// id and cannot resume. An [`endpoint`](crate::ServerBuilder::endpoint) that is bound already decides by the protocols that it offers.
    pub go_dialect: bool,
    /// Threads that serve connections, each with a socket and a runtime of its own. Default 1: no thread of its own, all runs on the
    /// runtime that the server was started on. From 1 to 64; several need Linux. They pay where one core is busy, and cost a
    /// wake-up of another thread for each batch, so take one less than there are cores, at most. Limits are those of all together. An
    /// [`endpoint`](crate::ServerBuilder::endpoint) that is bound already has its own.
    pub shards: usize,
    /// First part of every metric's name. Default `qsse`, as in the Go library.
    pub namespace: String,
    /// Second part of every metric's name. Default `qsse`, as in the Go library.
    pub subsystem: String,
    /// Distinct `topic` labels when topics are open; the rest is counted as `_other`. Default 100: labels are memory in
    /// every scraper too.
    pub max_topic_labels: usize,
    /// How often a stream without events tells its position, while the log moves. Default 10 s: what a resume after a
    /// quiet time has to look through. At least 10 ms.
    #[serde(with = "qsse_proto::human_duration")]
    pub heartbeat: Duration,
    /// Time for the first valid `Hello` after the handshake. Default 5 s, at least 10 ms: a connection that says nothing holds memory.
    #[serde(with = "qsse_proto::human_duration")]
    pub hello_timeout: Duration,
    /// Time for an answer of the authenticator or authorizer; none is a no. Default 5 s, at least 10 ms.
    #[serde(with = "qsse_proto::human_duration")]
    pub auth_timeout: Duration,
    /// Subscriptions of one connection. Default 128, at least 1: each is a task and a stream.
    pub max_subscriptions: u32,
    /// Wildcards in one pattern of a client. Default 4: what a lookup costs grows with them.
    pub max_wildcards: usize,
    /// Publishing streams of one connection. Default 64, from 1 to 4,096: each that is permitted costs memory.
    pub max_publishers: u32,
    /// Control frames that may come at once. Default 512.
    pub control_burst: u32,
    /// Control frames a second after the burst; faster ones wait. Default 100.
    pub control_rate: u32,
    /// Answers about topic names kept per connection. Default 4,096; over it they are asked again.
    pub max_decisions: usize,
    /// Time for streams to finish when the server drains. Default 10 s.
    #[serde(with = "qsse_proto::human_duration")]
    pub drain_timeout: Duration,
    /// The delay that clients are told when the server drains. Default 1 s, spread by each client; at most a day.
    #[serde(with = "qsse_proto::human_duration")]
    pub retry_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log: qsse_log::Config::default(),
            #[cfg(feature = "store")]
            store: qsse_log::disk::DiskRetention::default(),
            transport: TransportConfig::server(),
            go_dialect: false,
            shards: 1,
            namespace: "qsse".into(),
            subsystem: "qsse".into(),
            max_topic_labels: 100,
            heartbeat: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(5),
            auth_timeout: Duration::from_secs(5),
            max_subscriptions: 128,
            max_wildcards: 4,
            max_publishers: 64,
            control_burst: 512,
            control_rate: 100,
            max_decisions: 4_096,
            drain_timeout: Duration::from_secs(10),
            retry_after: Duration::from_secs(1),
        }
    }
}

macro_rules! setters {
    ($($name:ident: $type:ty),* $(,)?) => {
        impl Config {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
                #[must_use]
                pub fn $name(mut self, value: $type) -> Self {
                    self.$name = value;
                    self
                }
            )*
        }
    };
}

setters! {
    log: qsse_log::Config,
    transport: TransportConfig,
    go_dialect: bool,
    shards: usize,
    heartbeat: Duration,
    hello_timeout: Duration,
    auth_timeout: Duration,
    max_subscriptions: u32,
    max_wildcards: usize,
    max_publishers: u32,
    drain_timeout: Duration,
    retry_after: Duration,
}

impl Config {
    /// Whether a server can work with these settings; one that starts asks too.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn check(&self) -> Result<(), SettingError> {
        let (least, most) = (Duration::from_millis(10), Duration::MAX);
        let day = Duration::from_secs(24 * 3600);
        let streams = self.transport.max_remote_bidi_streams.unwrap_or(4);
        self.log.check().map_err(|error| error.within("log"))?;
        let transport = self.transport.check();
        // One for control, and one for the first publisher.
        let streams = SettingError::number("max_remote_bidi_streams", streams.into(), 2..=16_384);
        transport
            .and(streams)
            .map_err(|error| error.within("transport"))?;
        let all = [
            SettingError::duration("heartbeat", self.heartbeat, least..=most),
            SettingError::duration("hello_timeout", self.hello_timeout, least..=most),
            SettingError::duration("auth_timeout", self.auth_timeout, least..=most),
            SettingError::duration("retry_after", self.retry_after, Duration::ZERO..=day),
            SettingError::number(
                "max_subscriptions",
                self.max_subscriptions.into(),
                1..=u64::MAX,
            ),
            SettingError::number("max_publishers", self.max_publishers.into(), 1..=4_096),
        ];
        all.into_iter().collect()
    }

    /// The protocols (ALPN) that an endpoint has to offer for [`go_dialect`](Self#structfield.go_dialect) to be as set.
    pub fn protocols(&self) -> impl Iterator<Item = &'static [u8]> + use<> {
        [Some(ALPN), self.go_dialect.then_some(GO_ALPN)]
            .into_iter()
            .flatten()
    }

    /// Sets the first two parts of every metric's name.
    #[must_use]
    pub fn metric_names(
        mut self,
        namespace: impl Into<String>,
        subsystem: impl Into<String>,
    ) -> Self {
        self.namespace = namespace.into();
        self.subsystem = subsystem.into();
        self
    }
}
