//! [`ServerEndpoint`]: accepts connections on a UDP port.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use qsse_proto::Code;
use quinn::TokioRuntime;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::config::TransportConfig;
use crate::error::{BindError, cut};
use crate::quic::{self, Place, Randomness, Way, varint};
use crate::socket::UdpBuffers;
use crate::tls::{ServerTls, TlsError};

mod admission;
mod configs;
mod handshake;
mod in_turn;
mod shard;

pub use admission::EndpointStats;
use admission::{Admission, Gate};
use configs::Configs;
pub use handshake::Handshake;
use in_turn::{InTurn, Turn};
use shard::{Placed, Shard};

/// How long a port that is to be free is waited for.
const RELEASE: Duration = Duration::from_secs(1);

/// A UDP port that accepts connections. Clones are handles to the same one.
///
/// It has one shard or several: sockets with this address that are read on runtimes of their own. A
/// connection stays on its shard, also when its client's address changes. Everything else they
/// share: limits, counters, certificate, and the keys of resets and tokens.
///
/// When the last handle is dropped the endpoint closes at once, with all its connections. To end
/// gently: [`stop_accepting`](Self::stop_accepting), let the connections finish,
/// [`close`](Self::close), [`wait_idle`](Self::wait_idle).
#[derive(Clone, Debug)]
pub struct ServerEndpoint {
    shared: Arc<Shared>,
}

impl ServerEndpoint {
    /// Most shards that an endpoint can have: a byte of each connection id tells them apart, and more
    /// would get uneven shares of its values.
    pub const MAX_SHARDS: usize = 64;

    /// Binds `address`; port 0 lets the system choose one. Listening once this returns.
    ///
    /// UDP buffers smaller than asked for are warned about in the log.
    ///
    /// # Errors
    /// When the port is in use or not to be had, when `tls` cannot serve QUIC, or outside a tokio
    /// runtime.
    pub fn bind(
        address: SocketAddr,
        tls: &ServerTls,
        config: &TransportConfig,
    ) -> Result<Self, BindError> {
        let runtime = Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        Self::bind_shards(address, &[runtime], tls, config)
    }

    /// Binds `address` with a shard on each of these runtimes, at most
    /// [`MAX_SHARDS`](Self::MAX_SHARDS); with one it is [`bind`](Self::bind). Several need Linux.
    ///
    /// The system picks a shard by each datagram's connection id. The runtimes have to be driven by
    /// threads of their own, with I/O and time enabled; when one ends, so does the endpoint:
    /// [`accept`](Self::accept) returns `None`. Each socket has the buffers that `config` asks for.
    ///
    /// Another socket with the address is an error as with one shard. One that this user binds
    /// later, with `SO_REUSEPORT`, gets no datagrams.
    ///
    /// # Errors
    /// As [`bind`](Self::bind), [`BindError::Shards`] for no or too many runtimes, and
    /// [`BindError::ShardsUnsupported`] for several elsewhere than on Linux.
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
                "the system's limit clips the UDP buffers, bursts to many subscribers may lose packets; on Linux \
                 raise net.core.rmem_max and net.core.wmem_max"
            );
        }
        Self::start(sockets, Some(buffers), tls, config, Randomness::System)
    }

    /// As [`bind`](Self::bind), but on a socket as quinn has it, which sends each run of datagrams in a
    /// call of its own: something to compare with.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    #[cfg(feature = "abstract-socket")]
    pub fn bind_plain(
        address: SocketAddr,
        tls: &ServerTls,
        config: &TransportConfig,
    ) -> Result<Self, BindError> {
        let (placed, buffers) = shard::bind_plain(address, config.udp_buffer)?;
        Self::start(vec![placed], Some(buffers), tls, config, Randomness::System)
    }

    /// An endpoint on a socket of the caller's own, for simulated networks.
    ///
    /// With a seed, all that the endpoint draws at random and that shows in its packets' number,
    /// size and time follows from it. Never use a seed on a real network: its connection ids can be
    /// foretold.
    ///
    /// # Errors
    /// When `tls` cannot serve QUIC, or outside a tokio runtime.
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
        sockets: Vec<Placed>,
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
        let quinn = Configs::new(tls, &config, &randomness, count)?;
        let start = |(index, (socket, runtime)): (usize, Placed)| {
            let place = (count > 1).then_some(Place {
                index: index as u8,
                count: count as u8,
            });
            let serves_it = runtime.enter();
            let held = Arc::downgrade(&socket);
            let endpoint = quinn::Endpoint::new_with_abstract_socket(
                quic::endpoint(&config, &reset_secret, &randomness, Way::Host, place),
                // Copies share the keys of tokens, and the sessions of TLS.
                Some(quinn.usual.clone()),
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
                stopped: watch::Sender::new(false),
            }),
        })
    }

    /// The address listened on, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.address
    }

    /// How many shards it has.
    pub fn shards(&self) -> usize {
        self.shared.shards.len()
    }

    /// The socket's buffers, those of one shard; `None` on a socket of the caller's own.
    pub fn udp_buffers(&self) -> Option<UdpBuffers> {
        self.shared.buffers
    }

    /// The effective settings.
    pub fn config(&self) -> &TransportConfig {
        &self.shared.config
    }

    /// The next client that wants to connect, to any shard; `None` once the endpoint no longer
    /// accepts.
    ///
    /// Never waits for a handshake: spawn [`Handshake::complete`], with several shards on
    /// [`Handshake::runtime`]. Clients beyond the limits of [`TransportConfig`] are asked to prove
    /// their address or turned away inside this call, so keep calling it, in one task. Cancel-safe.
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
            match shared.gate.decide(|| shared.open_connections(), validated) {
                Admission::Admit => {
                    let ticket = shared.gate.admit();
                    let config = shared.config_for(&incoming);
                    let timeout = shared.config.handshake_time();
                    return Some(Handshake::new(incoming, config, ticket, timeout, shard));
                }
                Admission::Retry => {
                    shared.gate.count_retried();
                    if let Err(error) = incoming.retry() {
                        error.into_incoming().refuse();
                    }
                }
                Admission::Refuse => {
                    shared.gate.count_refused();
                    incoming.refuse();
                }
            }
        }
    }

    /// Refuses new clients from now on, while the open connections and handshakes go on.
    /// [`accept`](Self::accept) returns `None`.
    pub fn stop_accepting(&self) {
        self.shared.stop_accepting();
    }

    /// Closes the endpoint and all its connections at once; `reason` is cut at 256 bytes.
    ///
    /// Follow it with [`wait_idle`](Self::wait_idle), else the peers may have to find out by
    /// themselves.
    pub fn close(&self, code: Code, reason: &str) {
        self.shared.stop_accepting();
        self.shared.close(code, reason);
    }

    /// Waits until every connection is closed and its peer has been told or given up. Cancel-safe.
    pub async fn wait_idle(&self) {
        for shard in &self.shared.shards {
            shard.endpoint.wait_idle().await;
        }
    }

    /// Frees the port of an endpoint that was [closed](Self::close), while there are handles of it. After
    /// [`wait_idle`](Self::wait_idle), else peers may not learn of the close. Cancel-safe.
    ///
    /// Returns once the port can be bound again. A connection of it that is still held keeps the port: it is not waited for longer
    /// than a second.
    pub async fn release(&self) {
        let shared = &*self.shared;
        for shard in &shared.shards {
            shard.release(shared.address);
        }
        let _ = tokio::time::timeout(RELEASE, shard::released(&shared.shards)).await;
    }

    /// Uses another certificate for clients that connect from now on.
    ///
    /// The key of stateless resets stays that of the first one.
    ///
    /// # Errors
    /// When `tls` cannot serve QUIC; the old one stays in use.
    pub fn set_tls(&self, tls: &ServerTls) -> Result<(), TlsError> {
        let shared = &self.shared;
        let count = shared.shards.len();
        let quinn = Configs::new(tls, &shared.config, &shared.randomness, count)?;
        for shard in &shared.shards {
            let usual = quinn.usual.clone();
            shard.endpoint.set_server_config(Some(usual));
        }
        *shared
            .quinn
            .lock()
            .expect("no code panics while holding it") = quinn;
        Ok(())
    }

    /// Counters of connections and handshakes.
    pub fn stats(&self) -> EndpointStats {
        self.shared.gate.stats(self.shared.open_connections())
    }
}

#[derive(Debug)]
struct Shared {
    shards: Vec<Shard>,
    in_turn: InTurn,
    address: SocketAddr,
    buffers: Option<UdpBuffers>,
    gate: Arc<Gate>,
    quinn: Mutex<Configs>,
    config: TransportConfig,
    randomness: Randomness,
    stopped: watch::Sender<bool>,
}

impl Shared {
    /// The next client of any shard, looking first at the one whose turn it is; `None` when one has ended.
    fn poll_accept<'s>(
        &'s self,
        accepts: &mut [Pin<Box<quinn::Accept<'_>>>],
        turn: Turn,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(quinn::Incoming, &'s Shard)>> {
        turn.poll(accepts.len(), |at| accepts[at].as_mut().poll(cx))
            .map(|(at, incoming)| Some((incoming?, &self.shards[at])))
    }

    /// The settings for a client that has a better way to this server than usual.
    fn config_for(&self, incoming: &quinn::Incoming) -> Option<Arc<quinn::ServerConfig>> {
        // A simulated network has no routes.
        self.buffers?;
        let way = Way::to(incoming.remote_address(), &self.config);
        let quinn = self.quinn.lock().expect("no code panics while holding it");
        quinn.by(way)
    }

    fn open_connections(&self) -> usize {
        let open = |shard: &Shard| shard.endpoint.open_connections();
        self.shards.iter().map(open).sum()
    }

    fn stop_accepting(&self) {
        let first = self
            .stopped
            .send_if_modified(|stopped| !std::mem::replace(stopped, true));
        if !first {
            return;
        }
        for Shard {
            endpoint, runtime, ..
        } in &self.shards
        {
            // Refused clients know at once; ignored ones would wait for their deadline.
            let endpoint = endpoint.clone();
            let gate = self.gate.clone();
            runtime.spawn(async move {
                while let Some(incoming) = endpoint.accept().await {
                    gate.count_refused();
                    incoming.refuse();
                }
            });
        }
    }

    fn close(&self, code: Code, reason: &str) {
        for shard in &self.shards {
            shard.endpoint.close(varint(code), cut(reason).as_bytes());
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close(Code::NO_ERROR, "");
    }
}
