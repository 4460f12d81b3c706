//! [`ServerEndpoint`]: accepts connections on a UDP port.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use qsse_proto::Code;
use quinn::TokioRuntime;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::config::TransportConfig;
use crate::error::BindError;
use crate::network::Network;
use crate::quic::{self, Closing, PathMtu, Randomness, ShardId};
use crate::socket::UdpBuffers;
use crate::tls::{ServerTls, TlsError};

mod admission;
mod configs;
mod handshake;
mod handshakes;
mod in_turn;
mod shard;
mod shared;

pub use admission::EndpointStats;
use admission::{Admission, Gate};
use configs::Configs;
pub use handshake::Handshake;
use in_turn::InTurn;
use shard::{Shard, ShardSocket};
use shared::Shared;

/// How long [`ServerEndpoint::release`] waits for the port to become free.
const RELEASE: Duration = Duration::from_secs(1);

/// A UDP port that accepts connections. Clones are handles to the same endpoint.
///
/// It has one or more shards: sockets with the same address, each read on its own runtime. A
/// connection stays on its shard, even if its client's address changes. Shards share everything
/// else: limits, counters, the certificate, and the keys for resets and tokens.
///
/// When the last handle is dropped, the endpoint and all its connections close at once. To shut
/// down gracefully, call [`stop_accepting`](Self::stop_accepting), let the connections finish, then
/// call [`close`](Self::close) and [`wait_idle`](Self::wait_idle).
#[derive(Clone, Debug)]
pub struct ServerEndpoint {
    shared: Arc<Shared>,
}

impl ServerEndpoint {
    /// The most shards that an endpoint can have.
    pub const MAX_SHARDS: usize = shard::MAX_SHARDS;

    /// Binds `address`. With port 0 the system chooses the port. The endpoint is listening when
    /// this returns.
    ///
    /// Logs a warning if the UDP buffers are smaller than requested.
    ///
    /// # Errors
    /// The port is in use or cannot be bound, `tls` cannot be used for QUIC, or no tokio runtime is
    /// running.
    pub fn bind(
        address: SocketAddr,
        tls: &ServerTls,
        config: &TransportConfig,
    ) -> Result<Self, BindError> {
        let runtime = Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        Self::bind_shards(address, &[runtime], tls, config)
    }

    /// Binds `address` with one shard on each of these runtimes, at most
    /// [`MAX_SHARDS`](Self::MAX_SHARDS). One runtime makes this the same as [`bind`](Self::bind).
    /// Several need Linux.
    ///
    /// The system picks a shard by each datagram's connection id. Each runtime must be driven by
    /// its own threads, with I/O and time enabled. When one runtime ends, so does the endpoint:
    /// [`accept`](Self::accept) returns `None`. Each socket gets the buffers that `config` asks
    /// for.
    ///
    /// As with one shard, it is an error if another socket has the address. A socket that this user
    /// binds later, with `SO_REUSEPORT`, receives no datagrams.
    ///
    /// # Errors
    /// Those of [`bind`](Self::bind); [`BindError::Shards`] for no or too many runtimes;
    /// [`BindError::ShardsUnsupported`] for several on a system other than Linux.
    pub fn bind_shards(
        address: SocketAddr,
        runtimes: &[Handle],
        tls: &ServerTls,
        config: &TransportConfig,
    ) -> Result<Self, BindError> {
        config.check()?;
        let (sockets, buffers) = shard::bind(address, runtimes, config.udp_buffer)?;
        if buffers.clipped() {
            tracing::warn!(
                requested = buffers.requested,
                send = buffers.send,
                receive = buffers.receive,
                "the system limits the UDP buffers, so bursts to many subscribers may lose packets; on \
                 Linux raise net.core.rmem_max and net.core.wmem_max"
            );
        }
        Self::start(sockets, Some(buffers), tls, config, Randomness::System)
    }

    /// Does the same as [`bind`](Self::bind), on quinn's own socket, which sends each run of
    /// datagrams in a separate call. It is for comparisons.
    ///
    /// # Errors
    /// Those of [`bind`](Self::bind).
    #[cfg(feature = "abstract-socket")]
    pub fn bind_plain(
        address: SocketAddr,
        tls: &ServerTls,
        config: &TransportConfig,
    ) -> Result<Self, BindError> {
        let (placed, buffers) = shard::bind_plain(address, config.udp_buffer)?;
        Self::start(vec![placed], Some(buffers), tls, config, Randomness::System)
    }

    /// Creates an endpoint on the caller's socket, for simulated networks.
    ///
    /// With a seed, the number, size and time of all packets depend only on the seed. Never use a
    /// seed on a real network, because its connection ids can be predicted.
    ///
    /// # Errors
    /// `tls` cannot be used for QUIC, or no tokio runtime is running.
    #[cfg(feature = "abstract-socket")]
    pub fn on_socket(
        socket: Arc<dyn quinn::AsyncUdpSocket>,
        tls: &ServerTls,
        config: &TransportConfig,
        rng_seed: Option<[u8; 32]>,
    ) -> Result<Self, BindError> {
        let runtime = Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        let randomness = rng_seed.map_or(Randomness::System, Randomness::Seeded);
        Self::start(vec![(socket, runtime)], None, tls, config, randomness)
    }

    fn start(
        sockets: Vec<ShardSocket>,
        buffers: Option<UdpBuffers>,
        tls: &ServerTls,
        config: &TransportConfig,
        randomness: Randomness,
    ) -> Result<Self, BindError> {
        config.check()?;
        let config = config.clone().for_server();
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let (first, _) = sockets.first().expect("a server has a socket");
        let address = first
            .local_addr()
            .map_err(|error| BindError::io(unspecified, error))?;
        let reset_secret = tls
            .reset_secret()
            .unwrap_or_else(|| quic::reset_secret(&randomness));
        let count = sockets.len();
        let closing = Closing::default();
        let quinn = Configs::new(tls, &config, &randomness, count, &closing)?;
        let start = |(index, (socket, runtime)): (usize, ShardSocket)| {
            let shard = (count > 1).then_some(ShardId {
                index: index as u8,
                count: count as u8,
            });
            let serves_it = runtime.enter();
            let held = Arc::downgrade(&socket);
            let endpoint = quinn::Endpoint::new_with_abstract_socket(
                quic::endpoint(
                    &config,
                    &reset_secret,
                    &randomness,
                    PathMtu::Loopback,
                    shard,
                ),
                // The clones share the keys of address tokens and the TLS sessions.
                Some(quinn.standard.clone()),
                socket,
                Arc::new(TokioRuntime),
            )
            .map_err(|error| BindError::io(address, error))?;
            drop(serves_it);
            Ok(Shard::new(endpoint, runtime, held))
        };
        let shards = sockets.into_iter().enumerate().map(start);
        Ok(Self {
            shared: Arc::new(Shared {
                shards: shards.collect::<Result<_, BindError>>()?,
                in_turn: InTurn::default(),
                address,
                buffers,
                gate: Arc::new(Gate::new(&config)),
                quinn: Mutex::new(quinn),
                config,
                randomness,
                closing,
                stopped: watch::Sender::new(false),
            }),
        })
    }

    /// Returns the listening address, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.address
    }

    /// Returns the number of shards.
    pub fn shards(&self) -> usize {
        self.shared.shards.len()
    }

    /// Returns the buffers of one shard's socket; `None` on a socket of the caller.
    pub fn udp_buffers(&self) -> Option<UdpBuffers> {
        self.shared.buffers
    }

    /// Returns the effective settings.
    pub fn config(&self) -> &TransportConfig {
        &self.shared.config
    }

    /// Waits for the next client that wants to connect to any shard. Returns `None` once the
    /// endpoint no longer accepts.
    ///
    /// It never waits for a handshake: spawn [`Handshake::complete`], with several shards on
    /// [`Handshake::runtime`]. Clients beyond the limits of [`TransportConfig`] are refused, or
    /// asked to prove their address, inside this call. So keep calling it, in one task.
    /// Cancel-safe.
    pub async fn accept(&self) -> Option<Handshake> {
        let shared = &*self.shared;
        let mut stopped = shared.stopped.subscribe();
        let mut stopped = pin!(stopped.wait_for(|stopped| *stopped));
        loop {
            let mut accepts: Vec<_> = shared
                .shards
                .iter()
                .map(|shard| Box::pin(shard.endpoint.accept()))
                .collect();
            let turn = shared.in_turn.next();
            let (incoming, shard) = poll_fn(|cx| match stopped.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending => shared.poll_accept(&mut accepts, turn, cx),
            })
            .await?;
            let validated = incoming.remote_address_validated();
            let network = Network::of(incoming.remote_address().ip());
            let open = || shared.open_connections();
            match shared.gate.decide(open, validated, network) {
                Admission::Admit => {
                    let ticket = shared.gate.admit(network);
                    let config = shared.config_for(&incoming);
                    let timeout = shared.config.handshake_time();
                    return Some(Handshake::new(incoming, config, ticket, timeout, shard));
                }
                Admission::Retry => {
                    if let Err(error) = incoming.retry() {
                        error.into_incoming().refuse();
                    }
                }
                Admission::Refuse => incoming.refuse(),
            }
        }
    }

    /// Refuses new clients from now on. Open connections and handshakes continue.
    /// [`accept`](Self::accept) returns `None`.
    pub fn stop_accepting(&self) {
        self.shared.stop_accepting();
    }

    /// Closes the endpoint and all its connections at once. `reason` is cut to 256 bytes.
    ///
    /// Call [`wait_idle`](Self::wait_idle) afterwards; otherwise the peers may notice only by their
    /// idle timeout.
    pub fn close(&self, code: Code, reason: &str) {
        self.shared.stop_accepting();
        self.shared.close(code, reason);
    }

    /// Waits until every connection is closed and its peer has acknowledged that or timed out.
    /// Cancel-safe.
    pub async fn wait_idle(&self) {
        for shard in &self.shared.shards {
            shard.endpoint.wait_idle().await;
        }
    }

    /// Frees the port of an endpoint that was [closed](Self::close), even while handles to it
    /// exist. Call it after [`wait_idle`](Self::wait_idle); otherwise peers may not learn of the
    /// close. Cancel-safe.
    ///
    /// Returns once the port can be bound again. A connection that is still held keeps the port;
    /// this waits for it for at most one second.
    pub async fn release(&self) {
        let shared = &*self.shared;
        for shard in &shared.shards {
            shard.release(shared.address);
        }
        let _ = tokio::time::timeout(RELEASE, shard::released(&shared.shards)).await;
    }

    /// Sets the certificate for clients that connect from now on.
    ///
    /// The key for stateless resets remains that of the first certificate.
    ///
    /// # Errors
    /// `tls` cannot be used for QUIC. The old certificate stays in use.
    pub fn set_tls(&self, tls: &ServerTls) -> Result<(), TlsError> {
        let shared = &self.shared;
        let count = shared.shards.len();
        let (config, randomness) = (&shared.config, &shared.randomness);
        let quinn = Configs::new(tls, config, randomness, count, &shared.closing)?;
        for shard in &shared.shards {
            let usual = quinn.standard.clone();
            shard.endpoint.set_server_config(Some(usual));
        }
        *shared
            .quinn
            .lock()
            .expect("no code panics while holding it") = quinn;
        Ok(())
    }

    /// Returns counters of connections and handshakes.
    pub fn stats(&self) -> EndpointStats {
        self.shared.gate.stats(self.shared.open_connections())
    }
}
