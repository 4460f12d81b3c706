//! The settings of a server, as plain data.

use std::time::Duration;

use qsse_proto::limits::{FOREVER, SettingError};
use qsse_proto::{ALPN, GO_ALPN, H3_ALPN};
use qsse_transport::TransportConfig;
use serde::{Deserialize, Serialize};

use crate::auth::PrincipalLimits;

/// Settings of a [`Server`](crate::Server). Each limit is documented with its reason.
///
/// ```
/// let config = qsse_server::Config::default().max_subscriptions(16);
/// assert_eq!(config.max_subscriptions, 16);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Limits of the history and the feeds.
    pub log: qsse_log::Config,
    /// What a store in a directory keeps. Default: everything.
    #[cfg(feature = "store")]
    pub store: qsse_log::disk::DiskRetention,
    /// Limits, windows and timeouts of the connections.
    pub transport: TransportConfig,
    /// Also serves clients of the Go library `snapp-incubator/qsse`, on the same port. Default
    /// `false`, because they get no ids of missing events and cannot resume. An
    /// [`endpoint`](crate::ServerBuilder::endpoint) that is already bound decides by the protocols
    /// that it offers.
    pub go_dialect: bool,
    /// Threads that serve connections, each with its own socket and runtime. Default 1: no extra
    /// thread, everything runs on the runtime that the server was started on. From 1 to 64; more
    /// than one needs Linux. They help if one core is fully used. They cost a wake-up of another
    /// thread for each batch, so use at most one less than there are cores. Limits are those of all
    /// threads together. An [`endpoint`](crate::ServerBuilder::endpoint) that is already bound has
    /// its own.
    pub shards: usize,
    /// First part of every metric's name. Default `qsse`, as in the Go library.
    pub namespace: String,
    /// Second part of every metric's name. Default `qsse`, as in the Go library.
    pub subsystem: String,
    /// Most `topic` labels if any topic may be used; other topics are counted as `_other`. Default
    /// 100: each label costs memory, also in every scraper.
    pub max_topic_labels: usize,
    /// How often a stream without matching events reports its position while the log grows. Default
    /// 10 s: a resume has to look through what was published since. At least 10 ms.
    #[serde(with = "qsse_proto::human_duration")]
    pub heartbeat: Duration,
    /// Time from the handshake to a valid `Hello`. Default 5 s, at least 10 ms: a silent connection
    /// uses memory.
    #[serde(with = "qsse_proto::human_duration")]
    pub hello_timeout: Duration,
    /// Time for an answer of the authenticator or authorizer, after which the request is denied.
    /// Default 5 s, at least 10 ms.
    #[serde(with = "qsse_proto::human_duration")]
    pub auth_timeout: Duration,
    /// Most subscriptions of one connection. Default 128, at least 1: each is a task and a stream.
    pub max_subscriptions: u32,
    /// Most starts of one connection that are searched for at a time: those with the last events of
    /// each topic, and those at a time. Default 4, at least 1. Further ones wait, so that they take
    /// no memory before. It counts for connections that come after a change.
    pub max_starts: u32,
    /// Most patterns in all subscriptions of one connection, at least 1. Default 8,192: eight
    /// subscriptions with as many as one may have. Each pattern takes up to 2 KiB, and time for
    /// each topic that is new.
    pub max_patterns: u32,
    /// Most bytes of batches that only subscriptions hold whose clients read nothing. Default 64
    /// MiB. Beyond it the subscriptions that have been blocked for longest are ended with
    /// [`Code::LAGGED`](qsse_proto::Code::LAGGED), and clients resume when they read again. What
    /// several subscriptions share counts once. Memory for slow clients is bounded by this, however
    /// many there are.
    pub max_unread_bytes: usize,
    /// Most bytes of batches that the subscriptions of one connection hold while its client reads
    /// nothing; beyond it they end in the same way. A large event counts as 64 KiB, because it is
    /// shared. Default 12 MiB: 96 KiB for each of 128 subscriptions.
    pub max_connection_unread_bytes: usize,
    /// Most wildcards in one pattern that a client subscribes to or publishes on. Default 4: lookups
    /// get slower with each. Patterns of grants are not limited, because who may connect does not
    /// choose them.
    pub max_wildcards: usize,
    /// Most publishing streams of one connection. Default 64, from 1 to 4,096: each permitted one
    /// costs memory.
    pub max_publishers: u32,
    /// Most control frames in one burst. Default 512.
    pub control_burst: u32,
    /// Control frames per second after the burst; faster ones wait. Default 100. A `Subscribe`
    /// counts once more for each 32 of its patterns: to check them and to find their topics is
    /// work.
    pub control_rate: u32,
    /// Most publishes of one connection that are refused in one burst. Default 128: what an honest
    /// client sends before it notices. At least 1.
    pub refusal_burst: u32,
    /// Refused publishes per second after the burst. A client whose publishes are refused more
    /// often waits for its answers. Default 50: a refusal costs more than an event, and brings
    /// nobody anything. At least 1. A publish to a pattern that is refused counts once more for
    /// each 64 topics that were looked at. Refusals that look nothing up do not count: those
    /// behind a refused publish, and those of a server that ends or cannot store.
    pub refusal_rate: u32,
    /// Time for a publish to arrive completely once it has begun, after which its stream is reset.
    /// Default 30 s, at least 10 ms: a frame whose last byte never comes would take memory for
    /// ever. An event of 1 MiB needs 300 kbit/s for that.
    #[serde(with = "qsse_proto::human_duration")]
    pub frame_timeout: Duration,
    /// Bytes of all publishes that have begun to arrive and are longer than
    /// [`stream_receive_window`](TransportConfig#structfield.stream_receive_window). Further ones
    /// wait, in the windows of their streams. Default 64 MiB. It always has room for one. One
    /// connection may take at most one of the largest, or its
    /// [`receive_window`](TransportConfig#structfield.receive_window) if that is more.
    pub unfinished_bytes: usize,
    /// How much each principal may use whose own
    /// [`limits`](crate::Principal::with_limits) do not say so, over all of its connections.
    /// Default: 65,536 patterns, which is eight connections with all that they may have, and no
    /// other limits, as most servers know their clients. Clients that are not identified are not
    /// one principal; [`network_limits`](Self#structfield.network_limits) count for them. But their
    /// patterns are limited by this too, all those of one network together.
    ///
    /// Connections beyond it are closed with `BUSY`, subscriptions refused with
    /// `TOO_MANY_SUBSCRIPTIONS`. Publishers that are too fast wait, after a burst of one second.
    pub principal_limits: PrincipalLimits,
    /// How much each [`Network`](qsse_transport::Network) may use, in the same way. Default: no
    /// limits, because one network may be an office. Its `topics` have no effect.
    pub network_limits: PrincipalLimits,
    /// Most answers about topic names cached per connection. Default 4,096; beyond it, the
    /// authorizer is asked again.
    pub max_decisions: usize,
    /// Most revocations that are remembered. Default 10,000: each costs about 100 bytes. Beyond it,
    /// [`Server::revoke`](crate::Server::revoke) is an error.
    pub max_revocations: usize,
    /// Time for clients to read their streams to the end when the server drains. Default 10 s.
    #[serde(with = "qsse_proto::human_duration")]
    pub drain_timeout: Duration,
    /// The delay after which clients reconnect when the server drains. Default 1 s, at most a day;
    /// each client spreads it at random.
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
            max_starts: 4,
            max_patterns: 8_192,
            max_unread_bytes: 64 << 20,
            max_connection_unread_bytes: 12 << 20,
            max_wildcards: 4,
            max_publishers: 64,
            control_burst: 512,
            control_rate: 100,
            refusal_burst: 128,
            refusal_rate: 50,
            frame_timeout: Duration::from_secs(30),
            unfinished_bytes: 64 << 20,
            principal_limits: PrincipalLimits::default().patterns(65_536),
            network_limits: PrincipalLimits::default(),
            max_decisions: 4_096,
            max_revocations: 10_000,
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
    max_starts: u32,
    max_patterns: u32,
    max_unread_bytes: usize,
    max_connection_unread_bytes: usize,
    max_wildcards: usize,
    max_publishers: u32,
    refusal_burst: u32,
    refusal_rate: u32,
    frame_timeout: Duration,
    unfinished_bytes: usize,
    max_revocations: usize,
    principal_limits: PrincipalLimits,
    network_limits: PrincipalLimits,
    drain_timeout: Duration,
    retry_after: Duration,
}

impl Config {
    /// Checks the settings. A server that starts does the same.
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
            SettingError::duration("frame_timeout", self.frame_timeout, least..=most),
            SettingError::number("refusal_burst", self.refusal_burst.into(), 1..=u64::MAX),
            SettingError::number("refusal_rate", self.refusal_rate.into(), 1..=u64::MAX),
            SettingError::duration("retry_after", self.retry_after, Duration::ZERO..=day),
            SettingError::number(
                "max_subscriptions",
                self.max_subscriptions.into(),
                1..=u64::MAX,
            ),
            SettingError::number("max_starts", self.max_starts.into(), 1..=1 << 16),
            SettingError::number("max_patterns", self.max_patterns.into(), 1..=u64::MAX),
            SettingError::number("max_publishers", self.max_publishers.into(), 1..=4_096),
        ];
        all.into_iter().collect()
    }

    /// Returns these settings with the limits of others that need no restart.
    pub(crate) fn with_limits_of(&self, other: &Self) -> Self {
        Self {
            heartbeat: other.heartbeat.min(FOREVER),
            hello_timeout: other.hello_timeout,
            auth_timeout: other.auth_timeout,
            max_subscriptions: other.max_subscriptions,
            max_starts: other.max_starts,
            max_patterns: other.max_patterns,
            max_wildcards: other.max_wildcards,
            max_publishers: other.max_publishers,
            control_burst: other.control_burst,
            control_rate: other.control_rate,
            refusal_burst: other.refusal_burst,
            refusal_rate: other.refusal_rate,
            frame_timeout: other.frame_timeout,
            principal_limits: other.principal_limits,
            network_limits: other.network_limits,
            max_decisions: other.max_decisions,
            drain_timeout: other.drain_timeout,
            retry_after: other.retry_after,
            ..self.clone()
        }
    }

    /// Returns the protocols (ALPN) that an endpoint has to offer, in accordance with
    /// [`go_dialect`](Self#structfield.go_dialect).
    pub fn protocols(&self) -> impl Iterator<Item = &'static [u8]> + use<> {
        [Some(ALPN), self.go_dialect.then_some(GO_ALPN)]
            .into_iter()
            .flatten()
    }

    /// Returns those, and that of HTTP/3 where `sessions` of WebTransport are served.
    pub(crate) fn protocols_and(&self, sessions: bool) -> Vec<&'static [u8]> {
        let sessions = sessions.then_some(H3_ALPN);
        self.protocols().chain(sessions).collect()
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
