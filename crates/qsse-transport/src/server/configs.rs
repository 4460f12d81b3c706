//! [`Configs`]: what connections are accepted with.

use std::sync::Arc;

use crate::config::TransportConfig;
use crate::quic::{self, Randomness, Side, Way};
use crate::tls::{ServerTls, TlsError};

/// Bytes of an attempt that is waiting to be accepted, and of all of them together, that are kept.
const INCOMING_BYTES: u64 = 64 * 1024;
const INCOMING_BYTES_TOTAL: u64 = 16 * 1024 * 1024;

/// The settings for connections, by the way to the client.
#[derive(Debug)]
pub(super) struct Configs {
    pub(super) usual: quinn::ServerConfig,
    wide: Arc<quinn::ServerConfig>,
    host: Arc<quinn::ServerConfig>,
}

impl Configs {
    /// Those for each of `shards`.
    pub(super) fn new(
        tls: &ServerTls,
        config: &TransportConfig,
        randomness: &Randomness,
        shards: usize,
    ) -> Result<Self, TlsError> {
        let mut usual = quinn::ServerConfig::with_crypto(tls.quic_config()?);
        usual
            .max_incoming(config.max_incoming.div_ceil(shards))
            .incoming_buffer_size(INCOMING_BYTES)
            .incoming_buffer_size_total(INCOMING_BYTES_TOTAL / shards as u64);
        let by = |way| {
            let mut quinn = usual.clone();
            let transport = quic::transport(config, Side::Server, way, randomness);
            quinn.transport_config(Arc::new(transport));
            quinn
        };
        Ok(Self {
            wide: Arc::new(by(Way::Wide)),
            host: Arc::new(by(Way::Host)),
            usual: by(Way::Usual),
        })
    }

    /// Those for clients that come by this way; `None` for the usual ones.
    pub(super) fn by(&self, way: Way) -> Option<Arc<quinn::ServerConfig>> {
        match way {
            Way::Usual => None,
            Way::Wide => Some(Arc::clone(&self.wide)),
            Way::Host => Some(Arc::clone(&self.host)),
        }
    }
}
