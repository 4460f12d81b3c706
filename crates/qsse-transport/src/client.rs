//! [`ClientEndpoint`]: opens connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use qsse_proto::Code;
use quinn::TokioRuntime;
use quinn_proto::ConnectionIdGenerator;
use tokio::runtime::Handle;

use crate::config::TransportConfig;
use crate::connection::Connection;
use crate::error::{BindError, ConnectError, ConnectionError, cut};
use crate::quic::{self, Randomness, SeededIds, Side, Way, varint};
use crate::socket::UdpBuffers;
use crate::tls::{ClientTls, Verdict};
use crate::{crypto, socket};

/// Bytes of the connection id that a client makes up for its first packets.
const FIRST_CONNECTION_ID_BYTES: usize = 20;

/// A UDP socket that connections are opened from. Clones are handles to the same one.
///
/// One serves any number of connections of its IP family. Connections live on when it is dropped.
#[derive(Clone, Debug)]
pub struct ClientEndpoint {
    endpoint: quinn::Endpoint,
    address: SocketAddr,
    buffers: Option<UdpBuffers>,
    /// By which packets come.
    way: Way,
    randomness: Randomness,
    /// With a seed, the ids for the first packets of each connection in turn.
    first_ids: Option<Arc<Mutex<SeededIds>>>,
}

impl ClientEndpoint {
    /// Binds a local `address`, usually `0.0.0.0:0` or `[::]:0` as in [`bind_for`](Self::bind_for),
    /// with UDP buffers of the default size.
    ///
    /// # Errors
    /// When the address is not to be had, or outside a tokio runtime.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        Self::bind_with(address, &TransportConfig::client())
    }

    /// Binds any free port to reach `remote` from.
    ///
    /// # Errors
    /// When the system has no socket of that family to give, or outside a tokio runtime.
    pub fn bind_for(remote: SocketAddr, config: &TransportConfig) -> Result<Self, BindError> {
        let any: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let way = Way::to(remote, config);
        Self::bind_on(SocketAddr::new(any, 0), way, config)
    }

    /// Binds a local `address` with the UDP buffers of `config`.
    ///
    /// It takes [large packets](TransportConfig#structfield.max_mtu) if `address` is one of the loopback;
    /// [`bind_for`](Self::bind_for) finds out more.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_with(address: SocketAddr, config: &TransportConfig) -> Result<Self, BindError> {
        let way = match address.ip().is_loopback() {
            true => Way::to(address, config),
            false => Way::Usual,
        };
        Self::bind_on(address, way, config)
    }

    fn bind_on(address: SocketAddr, way: Way, config: &TransportConfig) -> Result<Self, BindError> {
        Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        let io = |error| BindError::io(address, error);
        let (socket, buffers) = socket::bind(address, config.udp_buffer).map_err(io)?;
        if buffers.clipped() {
            tracing::debug!(?buffers, "the system's limit clips the UDP buffers");
        }
        let socket = quinn::Runtime::wrap_udp_socket(&TokioRuntime, socket).map_err(io)?;
        Self::start(socket, Some(buffers), way, config, Randomness::System).map_err(io)
    }

    /// An endpoint on a socket of the caller's own, for simulated networks; see
    /// `ServerEndpoint::on_socket` for the seed.
    ///
    /// # Errors
    /// When the socket does not know its address, or outside a tokio runtime.
    #[cfg(feature = "abstract-socket")]
    pub fn on_socket(
        socket: Arc<dyn quinn::AsyncUdpSocket>,
        rng_seed: Option<[u8; 32]>,
    ) -> Result<Self, BindError> {
        Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        let randomness = rng_seed.map_or(Randomness::System, Randomness::Seeded);
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let config = TransportConfig::client();
        Self::start(socket, None, Way::Usual, &config, randomness)
            .map_err(|error| BindError::io(unspecified, error))
    }

    fn start(
        socket: Arc<dyn quinn::AsyncUdpSocket>,
        buffers: Option<UdpBuffers>,
        way: Way,
        config: &TransportConfig,
        randomness: Randomness,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let secret = quic::reset_secret(&randomness);
        let endpoint = quinn::Endpoint::new_with_abstract_socket(
            quic::endpoint(config, &secret, &randomness, way, None),
            None,
            socket,
            Arc::new(TokioRuntime),
        )?;
        let first_ids = match &randomness {
            Randomness::System => None,
            Randomness::Seeded(seed) => {
                let seed = crypto::derive(seed, b"qsse first connection ids");
                let ids = SeededIds::new(&seed, FIRST_CONNECTION_ID_BYTES);
                Some(Arc::new(Mutex::new(ids)))
            }
        };
        Ok(Self {
            endpoint,
            address,
            buffers,
            way,
            randomness,
            first_ids,
        })
    }

    /// Opens a connection to the server at `address`, whose certificate must be for `server_name`,
    /// a host name or an IP address.
    ///
    /// Gives up after
    /// [`TransportConfig::handshake_timeout`](TransportConfig#structfield.handshake_timeout).
    /// Dropping the future ends the attempt.
    ///
    /// # Errors
    /// See [`ConnectError`]: it tells a refused certificate from silence, from a refusal, and from
    /// another protocol.
    pub async fn connect(
        &self,
        address: SocketAddr,
        server_name: &str,
        tls: &ClientTls,
        config: &TransportConfig,
    ) -> Result<Connection, ConnectError> {
        if !self.reaches(address) {
            return Err(ConnectError::InvalidAddress {
                address,
                local: self.address,
            });
        }
        config.check()?;
        let config = config.clone().for_client();
        let (crypto, verdict) = tls.quic_config()?;
        let mut quinn = quinn::ClientConfig::new(crypto);
        quinn.transport_config(Arc::new(quic::transport(
            &config,
            Side::Client,
            self.way_to(address, &config),
            &self.randomness,
        )));
        if let Some(ids) = self.first_ids.clone() {
            quinn.initial_dst_cid_provider(Arc::new(move || {
                let mut ids = ids.lock().expect("no code panics while holding it");
                ids.generate_cid()
            }));
        }
        let connecting = self
            .endpoint
            .connect_with(quinn, address, server_name)
            .map_err(|error| self.not_started(error, address))?;
        let connection = tokio::time::timeout(config.handshake_timeout, connecting)
            .await
            .map_err(|_| ConnectError::TimedOut {
                address,
                after: config.handshake_timeout,
            })?
            .map_err(|error| failed(error, address, tls, &config, &verdict))?;
        let connection = Connection::new(connection);
        // A server that negotiates no protocol at all is none of ours.
        if !tls.alpn().contains(&connection.alpn()) {
            connection.close(Code::UNSUPPORTED, "no protocol in common");
            return Err(alpn_mismatch(address, tls));
        }
        Ok(connection)
    }

    /// The local address, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The socket's buffers; `None` on a socket of the caller's own.
    pub fn udp_buffers(&self) -> Option<UdpBuffers> {
        self.buffers
    }

    /// Closes all connections at once; `reason` is cut at 256 bytes. Later calls to `connect` fail.
    pub fn close(&self, code: Code, reason: &str) {
        self.endpoint.close(varint(code), cut(reason).as_bytes());
    }

    /// Waits until every connection is closed and its peer has been told or given up: before a
    /// process ends, so that servers need not wait for their idle timeout. Cancel-safe.
    pub async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }

    /// Whether packets to `address` can leave this socket.
    fn reaches(&self, address: SocketAddr) -> bool {
        let same_family = address.is_ipv4() == self.address.is_ipv4();
        // `[::]` takes IPv4 too.
        address.port() != 0
            && (same_family || (self.address.is_ipv6() && self.address.ip().is_unspecified()))
    }

    /// The way on which packets are sent to `address`.
    fn way_to(&self, address: SocketAddr, config: &TransportConfig) -> Way {
        match self.way {
            // What takes no large packets sends none, and need not look.
            Way::Usual => Way::Usual,
            _ => Way::to(address, config),
        }
    }

    fn not_started(&self, error: quinn::ConnectError, address: SocketAddr) -> ConnectError {
        match error {
            quinn::ConnectError::InvalidServerName(name) => ConnectError::InvalidServerName(name),
            quinn::ConnectError::InvalidRemoteAddress(address) => ConnectError::InvalidAddress {
                address,
                local: self.address,
            },
            quinn::ConnectError::EndpointStopping => ConnectError::EndpointClosed,
            other => ConnectError::Failed {
                address,
                source: ConnectionError::Transport(other.to_string()),
            },
        }
    }
}

/// Why a handshake failed: for what the certificate's verifier saw, else for what the connection
/// says.
fn failed(
    error: quinn::ConnectionError,
    address: SocketAddr,
    tls: &ClientTls,
    config: &TransportConfig,
    verdict: &Verdict,
) -> ConnectError {
    if let Some(refused) = verdict.refused(&error) {
        return refused;
    }
    match ConnectionError::from(error) {
        ConnectionError::AlpnMismatch => alpn_mismatch(address, tls),
        ConnectionError::TimedOut => ConnectError::TimedOut {
            address,
            after: config.idle_timeout,
        },
        ConnectionError::LocallyClosed => ConnectError::EndpointClosed,
        other => ConnectError::from_connection(address, other),
    }
}

fn alpn_mismatch(address: SocketAddr, tls: &ClientTls) -> ConnectError {
    let names: Vec<_> = tls
        .alpn()
        .iter()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    ConnectError::AlpnMismatch {
        address,
        offered: names.join(" or "),
    }
}
