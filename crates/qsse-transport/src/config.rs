//! [`TransportConfig`]: limits, windows and timeouts of endpoints and connections.

use std::time::Duration;

use qsse_proto::limits::{FOREVER, SettingError};
use serde::{Deserialize, Serialize};

mod human;

/// Windows, timeouts and limits of an endpoint and its connections.
///
/// Plain data: [`server()`](Self::server) and [`client()`](Self::client) are the defaults of either
/// side with every value filled in. What is left `None` (as in [`TransportConfig::default()`], or
/// in a file that names only some keys) is filled in by the endpoint for its side. Durations are
/// written as `"30s"` or `"500ms"`, sizes in bytes.
///
/// ```
/// use std::time::Duration;
/// use qsse_transport::TransportConfig;
///
/// let config = TransportConfig::client().idle_timeout(Duration::from_secs(60)).send_window(1 << 20);
/// assert_eq!(config.keep_alive, Some(Duration::from_secs(10)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TransportConfig {
    /// How long a connection may be silent before it is given up. Default 30 s, at least 100 ms. The
    /// smaller one of both sides applies.
    #[serde(with = "human::duration")]
    pub idle_timeout: Duration,
    /// How long a side may be silent before it sends a keep-alive; zero turns that off, and less than
    /// 10 ms counts as 10 ms. Default for
    /// a client 10 s, shortened by up to a fifth at random so that many clients do not beat
    /// together; for a server 15 s, which only acts for clients that send none. Never longer than a
    /// third (client) or a half (server) of [`idle_timeout`](Self::idle_timeout), so that the side
    /// with the shorter timeout keeps the connection up.
    #[serde(with = "human::optional_duration")]
    pub keep_alive: Option<Duration>,
    /// Deadline for a handshake, on both sides. Default 5 s, at least 10 ms.
    #[serde(with = "human::duration")]
    pub handshake_timeout: Duration,
    /// Bytes of a connection that may be written and not yet acknowledged: what a slow reader
    /// costs. Default 256 KiB, at least 1 KiB.
    pub send_window: u64,
    /// Bytes that the peer may send ahead on one stream: bounds what an unread stream keeps, and
    /// its rate (window per round trip). Default for a server 64 KiB, for a client 1 MiB, at least 1 KiB.
    pub stream_receive_window: Option<u64>,
    /// The same for all streams of a connection together. Default for a server 256 KiB; for a
    /// client unlimited, because one unread subscription must not block the others (its streams are
    /// bounded one by one). At least 1 KiB.
    pub receive_window: Option<u64>,
    /// Bidirectional streams that the peer may have open. Default for a server 4 (control and
    /// publishers), for a client 0, at most 16,384.
    pub max_remote_bidi_streams: Option<u32>,
    /// Unidirectional streams that the peer may have open. Default for a server 1, for a client
    /// 144: 128 subscriptions and 16 to spare. Each permitted stream costs memory, so keep it low; at most 16,384.
    pub max_remote_uni_streams: Option<u32>,
    /// Bytes asked for as the socket's send and as its receive buffer; 0 leaves the system's
    /// default. Default 4 MiB: with Linux's 208 KiB a burst to a thousand subscribers loses
    /// datagrams. The system may give less, see
    /// [`ServerEndpoint::udp_buffers`](crate::ServerEndpoint::udp_buffers).
    pub udp_buffer: usize,
    /// Size in bytes of the first packets' payload, before the path is probed for more. Default
    /// 1,200, which QUIC guarantees and less counts as; at most 1,452.
    pub initial_mtu: u16,
    /// Largest payload in bytes of a packet, where the way to the peer has room: within a machine, and
    /// from one to another through a network with jumbo frames, as Linux tells by its routes. Elsewhere it is
    /// 1,452 at most. More is sent only once a probe of that size has arrived. Larger packets cost less for each byte, and a
    /// connection keeps room to send 16 of them. Default 4,000. More than 6,500 is taken for that: ten packets are
    /// handed to the system at a time, and it takes 64 KiB.
    pub max_mtu: u16,
    /// Asks the peer to acknowledge this many packets at a time, when it knows how; a gap it tells at
    /// once, and what stays alone within 16 ms. Default 10, QUIC's own is 2. More saves work where many
    /// packets come in a row; a sender that may send little, after a loss, waits longer.
    pub ack_threshold: u32,
    /// Handshakes in flight on a server before clients must prove their address by a Retry first.
    /// Default 100.
    pub max_handshakes: usize,
    /// Connection attempts on a server that may wait to be accepted, and handshakes that may be in
    /// flight, before further ones are turned away. Default 1,024, at least 1.
    pub max_incoming: usize,
    /// Connections of a server that hold state; one more is refused. Default 10,000, at least 1. Handshakes count,
    /// and so do closed connections for the moment (three round trips, up to some seconds after a
    /// handshake that failed) in which late packets are still answered.
    pub max_connections: usize,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            keep_alive: None,
            handshake_timeout: Duration::from_secs(5),
            send_window: 256 * 1024,
            stream_receive_window: None,
            receive_window: None,
            max_remote_bidi_streams: None,
            max_remote_uni_streams: None,
            udp_buffer: 4 * 1024 * 1024,
            initial_mtu: 1200,
            max_mtu: 4000,
            ack_threshold: 10,
            max_handshakes: 100,
            max_incoming: 1024,
            max_connections: 10_000,
        }
    }
}

impl TransportConfig {
    /// The defaults of a server.
    #[must_use]
    pub fn server() -> Self {
        Self::default().for_server()
    }

    /// The defaults of a client.
    #[must_use]
    pub fn client() -> Self {
        Self::default().for_client()
    }

    /// Fills in what is unset with a server's defaults: the effective settings.
    #[must_use]
    pub fn for_server(mut self) -> Self {
        self.keep_alive.get_or_insert(Duration::from_secs(15));
        self.stream_receive_window.get_or_insert(64 * 1024);
        self.receive_window.get_or_insert(256 * 1024);
        self.max_remote_bidi_streams.get_or_insert(4);
        self.max_remote_uni_streams.get_or_insert(1);
        self
    }

    /// Fills in what is unset with a client's defaults: the effective settings.
    #[must_use]
    pub fn for_client(mut self) -> Self {
        self.keep_alive.get_or_insert(Duration::from_secs(10));
        self.stream_receive_window.get_or_insert(1024 * 1024);
        self.receive_window.get_or_insert(UNLIMITED);
        // QP-1.3: a server opens no bidirectional stream.
        self.max_remote_bidi_streams.get_or_insert(0);
        // QP-1.4: the subscriptions of a connection and 16 more.
        self.max_remote_uni_streams.get_or_insert(128 + 16);
        self
    }
}

/// Streams that a peer may be permitted: QUIC keeps state for each of them from the beginning of a connection.
const MOST_STREAMS: u64 = 16_384;

impl TransportConfig {
    /// Whether an endpoint can work with these settings; the one that is made from them asks too.
    ///
    /// Durations may be as long as one likes: a hundred years and more are the same.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn check(&self) -> Result<(), SettingError> {
        let ms = Duration::from_millis;
        let least = |least| least..=u64::MAX;
        let count = |count: Option<u32>| u64::from(count.unwrap_or(1));
        let all = [
            SettingError::duration("idle_timeout", self.idle_timeout, ms(100)..=Duration::MAX),
            SettingError::duration(
                "handshake_timeout",
                self.handshake_timeout,
                ms(10)..=Duration::MAX,
            ),
            SettingError::number("send_window", self.send_window, least(1024)),
            SettingError::number(
                "stream_receive_window",
                self.stream_receive_window.unwrap_or(UNLIMITED),
                least(1024),
            ),
            SettingError::number(
                "receive_window",
                self.receive_window.unwrap_or(UNLIMITED),
                least(1024),
            ),
            SettingError::number(
                "max_remote_bidi_streams",
                count(self.max_remote_bidi_streams),
                0..=MOST_STREAMS,
            ),
            SettingError::number(
                "max_remote_uni_streams",
                count(self.max_remote_uni_streams),
                0..=MOST_STREAMS,
            ),
            SettingError::number("initial_mtu", self.initial_mtu.into(), 0..=1452),
            SettingError::number("max_incoming", self.max_incoming as u64, least(1)),
            SettingError::number("max_connections", self.max_connections as u64, least(1)),
        ];
        all.into_iter().collect()
    }

    /// The deadline for a handshake, as far ahead as a clock tells.
    pub(crate) fn handshake_time(&self) -> Duration {
        self.handshake_timeout.min(FOREVER)
    }
}

/// The largest number QUIC can carry; above what any connection moves.
const UNLIMITED: u64 = (1 << 62) - 1;

macro_rules! setters {
    ($($field:ident: $type:ty),* $(,)?) => {
        /// Setters, one per field.
        impl TransportConfig {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
                #[must_use]
                pub fn $field(mut self, value: $type) -> Self {
                    self.$field = value.into();
                    self
                }
            )*
        }
    };
}

setters! {
    idle_timeout: Duration,
    keep_alive: Duration,
    handshake_timeout: Duration,
    send_window: u64,
    stream_receive_window: u64,
    receive_window: u64,
    max_remote_bidi_streams: u32,
    max_remote_uni_streams: u32,
    udp_buffer: usize,
    initial_mtu: u16,
    max_mtu: u16,
    ack_threshold: u32,
    max_handshakes: usize,
    max_incoming: usize,
    max_connections: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_what_they_change_and_mistakes_are_refused() {
        let text = r#"{"idle_timeout": "1m 30s", "keep_alive": "500ms", "send_window": 1000}"#;
        let config: TransportConfig = serde_json::from_str(text).unwrap();
        let expected = TransportConfig::default()
            .idle_timeout(Duration::from_secs(90))
            .keep_alive(Duration::from_millis(500))
            .send_window(1000);
        assert_eq!(config, expected);
        // What the file leaves out is the server's or the client's own.
        assert_eq!(config.clone().for_server().max_remote_bidi_streams, Some(4));
        assert_eq!(config.for_client().max_remote_bidi_streams, Some(0));

        for (text, part) in [
            (r#"{"idle_timeout": "30"}"#, "write a number and a unit"),
            (r#"{"keep_alive": "soon"}"#, "\"soon\" is not a duration"),
            (r#"{"idle_timout": "30s"}"#, "idle_timout"),
        ] {
            let error = serde_json::from_str::<TransportConfig>(text).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn effective_settings_survive_a_file() {
        for config in [
            TransportConfig::default(),
            TransportConfig::server(),
            TransportConfig::client().ack_threshold(2),
        ] {
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(
                serde_json::from_str::<TransportConfig>(&text).unwrap(),
                config
            );
        }
    }
}
