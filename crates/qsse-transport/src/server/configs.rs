//! [`Configs`]: the settings with which connections are accepted.

use std::sync::Arc;

use qsse_proto::H3_ALPN;

use crate::config::TransportConfig;
use crate::quic::{self, Closing, PathMtu, Randomness, Side};
use crate::tls::{ServerTls, TlsError};

/// The bytes that are buffered for one attempt that waits to be accepted, and for all of them.
const INCOMING_BYTES: u64 = 64 * 1024;
const INCOMING_BYTES_TOTAL: u64 = 16 * 1024 * 1024;

/// How many attempts quinn takes beyond those that may wait for their turn. It would drop the next
/// one without a decision of ours.
const INCOMING_TO_DECIDE: usize = 256;

/// The settings for connections, by the path to the client.
#[derive(Debug)]
pub(super) struct Configs {
    pub(super) standard: quinn::ServerConfig,
    jumbo: Arc<quinn::ServerConfig>,
    loopback: Arc<quinn::ServerConfig>,
}

/// The unidirectional streams that HTTP/3 demands that a peer permits (RFC 9114, section 6.2).
const HTTP3_STREAMS: u32 = 3;

/// The bytes of datagrams that are buffered. Nobody reads them, but WebTransport demands that the
/// server takes some.
const DATAGRAM_BYTES: usize = 2_048;

/// Adds what clients of HTTP/3 expect before they have said that they are some.
fn permit_http3(transport: &mut quinn::TransportConfig, config: &TransportConfig) {
    let streams = config.max_remote_uni_streams.unwrap_or(0);
    transport
        .max_concurrent_uni_streams(quic::stream_count(streams.max(HTTP3_STREAMS)))
        .datagram_receive_buffer_size(Some(DATAGRAM_BYTES));
}

impl Configs {
    /// Creates the settings for each of `shards` shards. `closing` tells that the endpoint is being
    /// closed.
    pub(super) fn new(
        tls: &ServerTls,
        config: &TransportConfig,
        randomness: &Randomness,
        shards: usize,
        closing: &Closing,
    ) -> Result<Self, TlsError> {
        // On any shard, as the limit is one of all together.
        let most = config.max_incoming.max(config.max_handshakes);
        let mut standard = quinn::ServerConfig::with_crypto(tls.quic_config()?);
        standard
            .max_incoming(most.saturating_add(INCOMING_TO_DECIDE))
            .incoming_buffer_size(INCOMING_BYTES)
            .incoming_buffer_size_total(INCOMING_BYTES_TOTAL / shards as u64);
        let serves_http3 = tls.alpn().iter().any(|name| name == H3_ALPN);
        let for_path = |path| {
            let mut quinn = standard.clone();
            let mut transport = quic::transport(config, Side::Server, path, randomness, closing);
            if serves_http3 {
                permit_http3(&mut transport, config);
            }
            quinn.transport_config(Arc::new(transport));
            quinn
        };
        Ok(Self {
            jumbo: Arc::new(for_path(PathMtu::Jumbo)),
            loopback: Arc::new(for_path(PathMtu::Loopback)),
            standard: for_path(PathMtu::Standard),
        })
    }

    /// Returns the settings for clients on this path; `None` for the standard ones.
    pub(super) fn for_path(&self, path: PathMtu) -> Option<Arc<quinn::ServerConfig>> {
        match path {
            PathMtu::Standard => None,
            PathMtu::Jumbo => Some(Arc::clone(&self.jumbo)),
            PathMtu::Loopback => Some(Arc::clone(&self.loopback)),
        }
    }
}
