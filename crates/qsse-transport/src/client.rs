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
use crate::quic::{self, Closing, PathMtu, Randomness, SeededIds, Side, varint};
use crate::socket::UdpBuffers;
use crate::tls::{ClientTls, Verdict};
use crate::{crypto, socket};

/// The length of the connection id that a client draws for its first packets.
const FIRST_CONNECTION_ID_BYTES: usize = 20;

/// A UDP socket for outgoing connections. Clones are handles to the same socket.
///
/// One endpoint serves any number of connections of its IP family. Connections outlive it.
#[derive(Clone, Debug)]
pub struct ClientEndpoint {
    endpoint: quinn::Endpoint,
    address: SocketAddr,
    buffers: Option<UdpBuffers>,
    /// The path class that decides how large the received packets may be.
    path: PathMtu,
    randomness: Randomness,
    /// Whether [`close`](Self::close) was called.
    closing: Closing,
    /// The connection ids of first packets, if the endpoint is seeded.
    first_ids: Option<Arc<Mutex<SeededIds>>>,
}

impl ClientEndpoint {
    /// Binds a local `address`, usually `0.0.0.0:0` or `[::]:0` as in [`bind_for`](Self::bind_for),
    /// with UDP buffers of the default size.
    ///
    /// # Errors
    /// The address cannot be bound, or no tokio runtime is running.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        Self::bind_with(address, &TransportConfig::client())
    }

    /// Binds a free port from which `remote` can be reached.
    ///
    /// # Errors
    /// The system has no socket of that family, or no tokio runtime is running.
    pub fn bind_for(remote: SocketAddr, config: &TransportConfig) -> Result<Self, BindError> {
        let any: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let path = PathMtu::to(remote, config);
        Self::bind_on(SocketAddr::new(any, 0), path, config)
    }

    /// Binds a local `address` with the UDP buffers of `config`.
    ///
    /// The socket accepts [large packets](TransportConfig#structfield.max_mtu) if `address` is a
    /// loopback address. [`bind_for`](Self::bind_for) also finds other paths that carry them.
    ///
    /// # Errors
    /// Those of [`bind`](Self::bind).
    pub fn bind_with(address: SocketAddr, config: &TransportConfig) -> Result<Self, BindError> {
        let path = match address.ip().is_loopback() {
            true => PathMtu::to(address, config),
            false => PathMtu::Standard,
        };
        Self::bind_on(address, path, config)
    }

    fn bind_on(
        address: SocketAddr,
        path: PathMtu,
        config: &TransportConfig,
    ) -> Result<Self, BindError> {
        Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        let io = |error| BindError::io(address, error);
        let (socket, buffers) = socket::bind(address, config.udp_buffer).map_err(io)?;
        if buffers.clipped() {
            tracing::debug!(?buffers, "the system's limit clips the UDP buffers");
        }
        let socket = quinn::Runtime::wrap_udp_socket(&TokioRuntime, socket).map_err(io)?;
        Self::start(socket, Some(buffers), path, config, Randomness::System).map_err(io)
    }

    /// Creates an endpoint on the caller's socket, for simulated networks.
    /// `ServerEndpoint::on_socket` explains the seed.
    ///
    /// # Errors
    /// The socket does not know its address, or no tokio runtime is running.
    #[cfg(feature = "abstract-socket")]
    pub fn on_socket(
        socket: Arc<dyn quinn::AsyncUdpSocket>,
        rng_seed: Option<[u8; 32]>,
    ) -> Result<Self, BindError> {
        Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        let randomness = rng_seed.map_or(Randomness::System, Randomness::Seeded);
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let config = TransportConfig::client();
        Self::start(socket, None, PathMtu::Standard, &config, randomness)
            .map_err(|error| BindError::io(unspecified, error))
    }

    fn start(
        socket: Arc<dyn quinn::AsyncUdpSocket>,
        buffers: Option<UdpBuffers>,
        path: PathMtu,
        config: &TransportConfig,
        randomness: Randomness,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let secret = quic::reset_secret(&randomness);
        let endpoint = quinn::Endpoint::new_with_abstract_socket(
            quic::endpoint(config, &secret, &randomness, path, None),
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
            path,
            randomness,
            closing: Closing::default(),
            first_ids,
        })
    }

    /// Opens a connection to the server at `address`. Its certificate must be valid for
    /// `server_name`, a host name or an IP address.
    ///
    /// Gives up after
    /// [`TransportConfig::handshake_timeout`](TransportConfig#structfield.handshake_timeout).
    /// Dropping the future ends the attempt.
    ///
    /// # Errors
    /// [`ConnectError`] distinguishes a refused certificate, no answer, a refusal, and a server of
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
            self.path_to(address, &config),
            &self.randomness,
            &self.closing,
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
        // A server that negotiates no protocol at all is not a qsse server.
        if !tls.alpn().contains(&connection.alpn()) {
            connection.close(Code::UNSUPPORTED, "no protocol in common");
            return Err(alpn_mismatch(address, tls));
        }
        Ok(connection)
    }

    /// Returns the local address, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the socket's buffers; `None` on a socket of the caller.
    pub fn udp_buffers(&self) -> Option<UdpBuffers> {
        self.buffers
    }

    /// Closes all connections at once. `reason` is cut to 256 bytes. Later calls to `connect` fail.
    pub fn close(&self, code: Code, reason: &str) {
        self.closing.begin();
        self.endpoint.close(varint(code), cut(reason).as_bytes());
    }

    /// Waits until every connection is closed and its peer has acknowledged that or timed out. Call
    /// it before a process ends; otherwise servers wait for their idle timeout. Cancel-safe.
    pub async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }

    /// Returns whether packets to `address` can leave this socket.
    fn reaches(&self, address: SocketAddr) -> bool {
        let same_family = address.is_ipv4() == self.address.is_ipv4();
        // `[::]` also reaches IPv4 addresses.
        address.port() != 0
            && (same_family || (self.address.is_ipv6() && self.address.ip().is_unspecified()))
    }

    /// Returns the path class for packets to `address`.
    fn path_to(&self, address: SocketAddr, config: &TransportConfig) -> PathMtu {
        match self.path {
            // A socket that accepts no large packets sends none either.
            PathMtu::Standard => PathMtu::Standard,
            _ => PathMtu::to(address, config),
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

/// Returns why a handshake failed. What the certificate's verifier recorded takes precedence over
/// what the connection reports.
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
    match ConnectionError::from_quinn(error) {
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
