//! [`Config`]: the settings of a client, as plain data.

use std::time::Duration;

use qsse_proto::limits::SettingError;
use qsse_transport::TransportConfig;
use serde::{Deserialize, Serialize};

use crate::dialect::Dialect;

/// The settings of a client, with defaults, for a configuration file or for
/// [`Connect::config`](crate::Connect::config).
///
/// Durations are written as `"5s"` or `"100ms"`, sizes in bytes. Unknown keys are refused. Trusted
/// certificates and the token are not part of it: see [`Connect`](crate::Connect).
///
/// ```
/// use std::time::Duration;
/// use qsse_client::Config;
///
/// let config = Config::default().connect_timeout(Duration::from_secs(2));
/// assert_eq!(config.reconnect.max_delay, Duration::from_secs(10));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Timeout of one attempt to connect, from resolving the name to the server's welcome. Default
    /// 5 s, at least 10 ms.
    #[serde(with = "qsse_proto::human_duration")]
    pub connect_timeout: Duration,
    /// Whether and how often the *first* connection is retried. Default: not at all.
    pub retry: RetryPolicy,
    /// What happens when a connection is lost later. Default: reconnect, without limit.
    pub reconnect: ReconnectPolicy,
    /// How long publishing waits for a lost connection to be restored, and for the server to permit
    /// one more publishing stream, before it fails with nothing sent. Zero fails at once. Default
    /// 10 s.
    #[serde(with = "qsse_proto::human_duration")]
    pub publish_wait: Duration,
    /// How many bytes, with some overhead per event, one publisher may have in flight, that is,
    /// sent and not yet acknowledged. Beyond that `send` waits. It limits memory, and throughput to
    /// this much per round trip. Default 1 MiB.
    pub publish_in_flight_bytes: u32,
    /// Whether publishes are retried when the connection is lost before their acknowledgement. This
    /// applies to single publishes, and to publishers that send
    /// [`exactly_once`](crate::Publisher::exactly_once). Default `true`; without it they fail with
    /// [`PublishError::AckLost`](crate::PublishError::AckLost).
    ///
    /// A single publish gets a key for this, by which the server recognises what it has accepted. A
    /// key costs the server about a microsecond, and is one of the 100,000 keys that it remembers.
    /// A publisher numbers its events instead.
    pub publish_retry: bool,
    /// The name to which keys of [`Publish::key`](crate::Publish::key) belong, at most 64 bytes:
    /// two clients of the same principal share keys if they have the same name. Default empty.
    pub publisher_name: String,
    /// How long the first bytes of a subscription's stream may take once it is opened. If they do
    /// not arrive, the subscription is requested again. Default 10 s, at least 10 ms.
    #[serde(with = "qsse_proto::human_duration")]
    pub stream_timeout: Duration,
    /// Which protocol to speak: `auto` (the default), `qsse` or `go`. [`Dialect`] describes what
    /// the Go library's protocol lacks.
    pub dialect: Dialect,
    /// The client's program and version, for the server's log. Default `qsse-client/` and the
    /// version.
    pub agent: String,
    /// Windows, keep-alive and idle timeout of the connection.
    pub transport: TransportConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            retry: RetryPolicy::default(),
            reconnect: ReconnectPolicy::default(),
            publish_wait: Duration::from_secs(10),
            publish_in_flight_bytes: 1024 * 1024,
            publish_retry: true,
            publisher_name: String::new(),
            stream_timeout: Duration::from_secs(10),
            dialect: Dialect::default(),
            agent: concat!("qsse-client/", env!("CARGO_PKG_VERSION")).into(),
            transport: TransportConfig::default(),
        }
    }
}

impl Config {
    /// Checks that all settings are within their range, as connecting does.
    ///
    /// # Errors
    /// Returns the first setting that is out of range.
    pub fn check(&self) -> Result<(), SettingError> {
        let time = Duration::from_millis(10)..=Duration::MAX;
        let streams = self.transport.max_remote_uni_streams.unwrap_or(1);
        SettingError::duration("connect_timeout", self.connect_timeout, time.clone())?;
        SettingError::duration("stream_timeout", self.stream_timeout, time)?;
        self.retry.check().map_err(|error| error.within("retry"))?;
        let reconnect = self.reconnect.check();
        reconnect.map_err(|error| error.within("reconnect"))?;
        let transport = self.transport.check();
        // Each subscription has one stream.
        let streams = SettingError::number("max_remote_uni_streams", streams.into(), 1..=16_384);
        transport
            .and(streams)
            .map_err(|error| error.within("transport"))
    }
}

/// The shortest delay between two attempts to connect, so that no client retries in a busy loop.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

/// Whether and how often a failed first connection is retried.
///
/// Only errors that may pass are retried: see
/// [`ConnectError::is_retryable`](crate::ConnectError::is_retryable).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Whether to retry. Default `false`: the first failure is returned.
    pub enabled: bool,
    /// How often to retry after the first failure. Default 5.
    pub times: u32,
    /// The delay between two attempts, at least 1 ms. Default 5 s.
    #[serde(with = "qsse_proto::human_duration")]
    pub interval: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            enabled: false,
            times: 5,
            interval: Duration::from_secs(5),
        }
    }
}

impl RetryPolicy {
    /// Retries 5 times, every 5 s.
    #[must_use]
    pub fn enabled() -> Self {
        Self {
            enabled: true,
            ..Self::default()
        }
    }

    /// Retries this often, with a delay of `interval`.
    #[must_use]
    pub fn times(times: u32, interval: Duration) -> Self {
        Self {
            enabled: true,
            times,
            interval,
        }
    }

    fn check(&self) -> Result<(), SettingError> {
        if self.enabled {
            SettingError::duration("interval", self.interval, LEAST_PAUSE..=Duration::MAX)?;
        }
        Ok(())
    }

    /// Returns how many attempts are made in all.
    pub(crate) fn attempts(&self) -> u32 {
        if self.enabled {
            self.times.saturating_add(1)
        } else {
            1
        }
    }
}

/// What happens when a connection is lost.
///
/// The delay before attempt `n` is uniformly random between zero and `first_delay` · 2ⁿ⁻¹, at most
/// `max_delay` (exponential backoff with full jitter), so that the clients of a restarted server do
/// not reconnect all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ReconnectPolicy {
    /// Whether to reconnect. Default `true`.
    pub enabled: bool,
    /// The upper bound of the first delay, at least 1 ms. Default 100 ms.
    #[serde(with = "qsse_proto::human_duration")]
    pub first_delay: Duration,
    /// The upper bound of every delay, at least 1 ms. Default 10 s.
    #[serde(with = "qsse_proto::human_duration")]
    pub max_delay: Duration,
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
        }
    }
}

impl ReconnectPolicy {
    /// Does not reconnect.
    #[must_use]
    pub fn never() -> Self {
        Self {
            enabled: false,
            ..Self::default()
        }
    }

    /// Reconnects, with delays whose bound doubles from `first_delay` up to `max_delay`.
    #[must_use]
    pub fn backoff(first_delay: Duration, max_delay: Duration) -> Self {
        Self {
            enabled: true,
            first_delay,
            max_delay,
        }
    }

    fn check(&self) -> Result<(), SettingError> {
        if self.enabled {
            let allowed = LEAST_PAUSE..=Duration::MAX;
            SettingError::duration("first_delay", self.first_delay, allowed.clone())?;
            SettingError::duration("max_delay", self.max_delay, allowed)?;
        }
        Ok(())
    }
}

macro_rules! setters {
    ($($field:ident: $type:ty),* $(,)?) => {
        /// Setters, one for each field.
        impl Config {
            $(
                #[doc = concat!(
                    "Sets [`",
                    stringify!($field),
                    "`](Self#structfield.",
                    stringify!($field),
                    ")."
                )]
                #[must_use]
                pub fn $field(mut self, value: $type) -> Self {
                    self.$field = value;
                    self
                }
            )*
        }
    };
}

setters! {
    connect_timeout: Duration,
    retry: RetryPolicy,
    reconnect: ReconnectPolicy,
    publish_wait: Duration,
    publish_in_flight_bytes: u32,
    publish_retry: bool,
    publisher_name: String,
    stream_timeout: Duration,
    dialect: Dialect,
    agent: String,
    transport: TransportConfig,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_serialization() {
        let config = Config::default().retry(RetryPolicy::times(3, Duration::from_millis(1500)));
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains(r#""interval":"1s 500ms""#), "{text}");
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    }

    #[test]
    fn what_is_left_out_keeps_its_default_and_what_is_unknown_is_refused() {
        let config: Config = serde_json::from_str(r#"{"reconnect":{"enabled":false}}"#).unwrap();
        assert_eq!(
            config,
            Config::default().reconnect(ReconnectPolicy::never())
        );
        let error = serde_json::from_str::<Config>(r#"{"reconect":{}}"#).unwrap_err();
        assert!(error.to_string().contains("reconect"), "{error}");
        let error = serde_json::from_str::<Config>(r#"{"connect_timeout":"5"}"#).unwrap_err();
        assert!(error.to_string().contains(r#"as in "30s""#), "{error}");
    }

    #[test]
    fn no_client_connects_again_without_a_pause() {
        let (zero, second) = (Duration::ZERO, Duration::from_secs(1));
        let reconnect =
            |first, max| Config::default().reconnect(ReconnectPolicy::backoff(first, max));
        let retry = |pause| Config::default().retry(RetryPolicy::times(5, pause));
        let refused = [
            (reconnect(zero, second), "reconnect.first_delay"),
            (reconnect(second, zero), "reconnect.max_delay"),
            (retry(zero), "retry.interval"),
        ];
        for (config, name) in refused {
            let error = config.check().unwrap_err();
            assert_eq!((&*error.name, &*error.allowed), (name, "at least 1ms"));
        }
        let (mut never, mut once) = (reconnect(zero, zero), retry(zero));
        (never.reconnect.enabled, once.retry.enabled) = (false, false);
        for config in [
            never,
            once,
            reconnect(LEAST_PAUSE, LEAST_PAUSE),
            retry(LEAST_PAUSE),
        ] {
            assert_eq!(config.check(), Ok(()));
        }
    }

    #[test]
    fn attempts_count_the_first() {
        assert_eq!(RetryPolicy::default().attempts(), 1);
        assert_eq!(RetryPolicy::times(5, Duration::ZERO).attempts(), 6);
        assert_eq!(
            RetryPolicy::times(u32::MAX, Duration::ZERO).attempts(),
            u32::MAX
        );
    }
}
