//! [`TransportConfig`]: limits, windows and timeouts of endpoints and connections.

use std::time::Duration;

use qsse_proto::limits::{FOREVER, SettingError};
use serde::{Deserialize, Serialize};

/// Windows, timeouts and limits of an endpoint and its connections.
///
/// This is plain data. [`server()`](Self::server) and [`client()`](Self::client) return the
/// defaults of each side with every value filled in. [`TransportConfig::default()`], and a file
/// that names only some keys, leave the others `None`; the endpoint then fills them in for its
/// side. Durations are written as `"30s"` or `"500ms"`, sizes in bytes.
///
/// ```
/// use std::time::Duration;
/// use qsse_transport::TransportConfig;
///
/// let config = TransportConfig::client()
///     .idle_timeout(Duration::from_secs(60))
///     .send_window(1 << 20);
/// assert_eq!(config.keep_alive, Some(Duration::from_secs(10)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TransportConfig {
    /// How long a connection may be silent before it counts as lost. Default 30 s, at least 100 ms.
    /// The smaller value of the two sides applies.
    #[serde(with = "qsse_proto::human_duration")]
    pub idle_timeout: Duration,
    /// How long a side may be silent before it sends a keep-alive. Zero turns keep-alives off; less
    /// than 10 ms counts as 10 ms.
    ///
    /// A client's default is 10 s, shortened by a random amount of up to a fifth, so that many
    /// clients do not send at the same moment. A server's default is 15 s, which takes effect only
    /// with clients that send none. The interval is at most a third (client) or half (server) of
    /// [`idle_timeout`](Self::idle_timeout), so the side with the shorter timeout keeps the
    /// connection alive.
    #[serde(with = "qsse_proto::human_duration::optional")]
    pub keep_alive: Option<Duration>,
    /// The deadline for a handshake, on both sides. Default 5 s, at least 10 ms.
    #[serde(with = "qsse_proto::human_duration")]
    pub handshake_timeout: Duration,
    /// The bytes that may be written to a connection and not yet be acknowledged. This is what a
    /// slow reader costs. Default 256 KiB, at least 1 KiB.
    pub send_window: u64,
    /// The bytes that the peer may send ahead on one stream. This bounds the memory of an unread
    /// stream, and the rate of a stream (one window per round trip). Default 64 KiB for a server, 1
    /// MiB for a client; at least 1 KiB.
    pub stream_receive_window: Option<u64>,
    /// The bytes that the peer may send ahead on all streams of a connection together. Default 256
    /// KiB for a server. A client's default is unlimited, because one unread subscription must not
    /// block the others; each of its streams has its own bound. At least 1 KiB.
    pub receive_window: Option<u64>,
    /// How many bidirectional streams the peer may have open. Default 4 for a server (control and
    /// publishers), 0 for a client; at most 16,384.
    pub max_remote_bidi_streams: Option<u32>,
    /// How many unidirectional streams the peer may have open. Default 1 for a server. A client's
    /// default is 144: 128 subscriptions and 16 to spare. Each permitted stream costs memory, so
    /// keep the number low; at most 16,384.
    pub max_remote_uni_streams: Option<u32>,
    /// The requested size of the socket's send buffer and of its receive buffer. 0 leaves the
    /// system's default. Default 4 MiB: with Linux's 208 KiB, a burst to a thousand subscribers
    /// loses datagrams. The system may grant less; see
    /// [`ServerEndpoint::udp_buffers`](crate::ServerEndpoint::udp_buffers).
    pub udp_buffer: usize,
    /// The payload size in bytes of the first packets, before the path is probed for more. Default
    /// 1,200, which QUIC guarantees; less counts as 1,200. At most 1,452.
    pub initial_mtu: u16,
    /// The largest payload in bytes of a packet. It applies where the path has room for large
    /// packets: within one machine, and between machines whose network carries jumbo frames, as
    /// Linux's routes tell. Elsewhere the limit is 1,452.
    ///
    /// A connection sends larger packets only after a probe of that size has arrived. They cost
    /// less per byte. A connection reserves memory for 16 of them. Default 4,000; more than 6,500
    /// counts as 6,500, because ten packets are handed to the system at a time, and it takes 64
    /// KiB.
    pub max_mtu: u16,
    /// How many packets the peer is asked to acknowledge at once, if it supports that. It reports a
    /// gap immediately, and a single packet within 16 ms. Default 10; QUIC's own is 2.
    ///
    /// A larger number saves work when many packets arrive in a row. But a sender whose window is
    /// small after a loss then waits longer.
    pub ack_threshold: u32,
    /// How many handshakes a server has in flight before clients must first prove their address
    /// with a Retry. Default 100. The places beyond it, up to
    /// [`max_incoming`](Self::max_incoming), are kept for those who have: clients with false
    /// addresses cannot take them.
    pub max_handshakes: usize,
    /// How many handshakes of a server may be in flight, and how many connection attempts may wait
    /// to be accepted. Default 1,024, at least 1.
    ///
    /// When all places are taken, the oldest client that has been silent for 300 ms loses its own
    /// to the next one; if there is none, the next one is refused. A [`Network`](crate::Network)
    /// that has more than a quarter of the places makes the room for all others, so a flood from
    /// one network keeps nobody else out.
    pub max_incoming: usize,
    /// How many connections of a server may hold state; further ones are refused. Default 10,000,
    /// at least 1. Handshakes count. A closed connection also counts while late packets are still
    /// answered: three round trips, or up to some seconds after a failed handshake.
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
    /// Returns the defaults of a server.
    #[must_use]
    pub fn server() -> Self {
        Self::default().for_server()
    }

    /// Returns the defaults of a client.
    #[must_use]
    pub fn client() -> Self {
        Self::default().for_client()
    }

    /// Returns the effective settings of a server: fills in the server's defaults for what is
    /// unset.
    #[must_use]
    pub fn for_server(mut self) -> Self {
        self.keep_alive.get_or_insert(Duration::from_secs(15));
        self.stream_receive_window.get_or_insert(64 * 1024);
        self.receive_window.get_or_insert(256 * 1024);
        self.max_remote_bidi_streams.get_or_insert(4);
        self.max_remote_uni_streams.get_or_insert(1);
        self
    }

    /// Returns the effective settings of a client: fills in the client's defaults for what is
    /// unset.
    #[must_use]
    pub fn for_client(mut self) -> Self {
        self.keep_alive.get_or_insert(Duration::from_secs(10));
        self.stream_receive_window.get_or_insert(1024 * 1024);
        self.receive_window.get_or_insert(UNLIMITED);
        // QP-1.3: a server opens no bidirectional stream.
        self.max_remote_bidi_streams.get_or_insert(0);
        // QP-1.4: the subscriptions of a connection, and 16 more.
        self.max_remote_uni_streams.get_or_insert(128 + 16);
        self
    }
}

/// How many streams a peer may be permitted. QUIC holds state for each from the start of a
/// connection.
const MOST_STREAMS: u64 = 16_384;

impl TransportConfig {
    /// Checks that an endpoint can work with these settings. Endpoints check them too.
    ///
    /// Durations have no upper limit: a hundred years and more are equivalent.
    ///
    /// # Errors
    /// The first setting that is out of range.
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

    /// Returns the deadline for a handshake, limited to what a clock can represent.
    pub(crate) fn handshake_time(&self) -> Duration {
        self.handshake_timeout.min(FOREVER)
    }
}

/// The largest number that QUIC can encode. It exceeds what any connection transfers.
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
        // The side fills in what the file leaves out.
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
