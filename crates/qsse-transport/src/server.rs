//! [`ServerEndpoint`]: accepts connections on a UDP port.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use qsse_proto::Code;
use quinn::TokioRuntime;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::error::cut;
use crate::quic::{self, Randomness, Side, varint};
use crate::tls::{ServerTls, TlsError};
use crate::{BindError, TransportConfig, UdpBuffers, socket};

mod admission;
mod handshake;

pub use admission::EndpointStats;
use admission::{Admission, Gate};
pub use handshake::Handshake;

/// Bytes of an attempt that is waiting to be accepted, and of all of them together, that are kept.
const INCOMING_BYTES: u64 = 64 * 1024;
const INCOMING_BYTES_TOTAL: u64 = 16 * 1024 * 1024;

/// A UDP port that accepts connections. Clones are handles to the same one.
///
/// When the last handle is dropped the endpoint closes at once, with all its connections. To end
/// gently: [`stop_accepting`](Self::stop_accepting), let the connections finish,
/// [`close`](Self::close), [`wait_idle`](Self::wait_idle).
#[derive(Clone, Debug)]
pub struct ServerEndpoint {
    shared: Arc<Shared>,
}

impl ServerEndpoint {
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
        let io = |error| BindError::io(address, error);
        let (socket, buffers) = socket::bind(address, config.udp_buffer).map_err(io)?;
        if buffers.clipped() {
            tracing::warn!(
                requested = buffers.requested,
                send = buffers.send,
                receive = buffers.receive,
                "the system's limit clips the UDP buffers, bursts to many subscribers may lose packets; on Linux \
                 raise net.core.rmem_max and net.core.wmem_max"
            );
        }
        let socket = quinn::Runtime::wrap_udp_socket(&TokioRuntime, socket).map_err(io)?;
        Self::start(
            runtime,
            socket,
            Some(buffers),
            tls,
            config,
            Randomness::System,
        )
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
        Self::start(runtime, socket, None, tls, config, randomness)
    }

    fn start(
        runtime: Handle,
        socket: Arc<dyn quinn::AsyncUdpSocket>,
        buffers: Option<UdpBuffers>,
        tls: &ServerTls,
        config: &TransportConfig,
        randomness: Randomness,
    ) -> Result<Self, BindError> {
        let config = config.clone().for_server();
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let address = socket
            .local_addr()
            .map_err(|error| BindError::io(unspecified, error))?;
        let reset_secret = tls
            .reset_secret()
            .unwrap_or_else(|| quic::reset_secret(&randomness));
        let endpoint = quinn::Endpoint::new_with_abstract_socket(
            quic::endpoint(&reset_secret, &randomness),
            Some(quinn_config(tls, &config, &randomness)?),
            socket,
            Arc::new(TokioRuntime),
        )
        .map_err(|error| BindError::io(address, error))?;
        Ok(Self {
            shared: Arc::new(Shared {
                endpoint,
                address,
                buffers,
                gate: Arc::new(Gate::new(&config)),
                config,
                randomness,
                stopped: watch::Sender::new(false),
                runtime,
            }),
        })
    }

    /// The address listened on, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.address
    }

    /// The socket's buffers; `None` on a socket of the caller's own.
    pub fn udp_buffers(&self) -> Option<UdpBuffers> {
        self.shared.buffers
    }

    /// The effective settings.
    pub fn config(&self) -> &TransportConfig {
        &self.shared.config
    }

    /// The next client that wants to connect; `None` once the endpoint no longer accepts.
    ///
    /// Never waits for a handshake: spawn [`Handshake::complete`]. Clients beyond the limits of
    /// [`TransportConfig`] are asked to prove their address or turned away inside this call, so
    /// keep calling it. Cancel-safe.
    pub async fn accept(&self) -> Option<Handshake> {
        let shared = &*self.shared;
        let mut stopped = shared.stopped.subscribe();
        let mut stopped = pin!(stopped.wait_for(|stopped| *stopped));
        loop {
            let mut accept = pin!(shared.endpoint.accept());
            let incoming = poll_fn(|cx| match stopped.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending => accept.as_mut().poll(cx),
            })
            .await?;
            let validated = incoming.remote_address_validated();
            match shared
                .gate
                .decide(shared.endpoint.open_connections(), validated)
            {
                Admission::Admit => {
                    let ticket = shared.gate.admit();
                    return Some(Handshake::new(
                        incoming,
                        ticket,
                        shared.config.handshake_timeout,
                    ));
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
        self.shared
            .endpoint
            .close(varint(code), cut(reason).as_bytes());
    }

    /// Waits until every connection is closed and its peer has been told or given up. Cancel-safe.
    pub async fn wait_idle(&self) {
        self.shared.endpoint.wait_idle().await;
    }

    /// Uses another certificate for clients that connect from now on.
    ///
    /// The key of stateless resets stays that of the first one.
    ///
    /// # Errors
    /// When `tls` cannot serve QUIC; the old one stays in use.
    pub fn set_tls(&self, tls: &ServerTls) -> Result<(), TlsError> {
        let shared = &self.shared;
        let config = quinn_config(tls, &shared.config, &shared.randomness)?;
        shared.endpoint.set_server_config(Some(config));
        Ok(())
    }

    /// Counters of connections and handshakes.
    pub fn stats(&self) -> EndpointStats {
        self.shared
            .gate
            .stats(self.shared.endpoint.open_connections())
    }
}

#[derive(Debug)]
struct Shared {
    endpoint: quinn::Endpoint,
    address: SocketAddr,
    buffers: Option<UdpBuffers>,
    gate: Arc<Gate>,
    config: TransportConfig,
    randomness: Randomness,
    stopped: watch::Sender<bool>,
    runtime: Handle,
}

impl Shared {
    fn stop_accepting(&self) {
        let first = self
            .stopped
            .send_if_modified(|stopped| !std::mem::replace(stopped, true));
        if first {
            // Refused clients know at once; ignored ones would wait for their deadline.
            let endpoint = self.endpoint.clone();
            let gate = self.gate.clone();
            self.runtime.spawn(async move {
                while let Some(incoming) = endpoint.accept().await {
                    gate.count_refused();
                    incoming.refuse();
                }
            });
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.endpoint.close(varint(Code::NO_ERROR), b"");
    }
}

fn quinn_config(
    tls: &ServerTls,
    config: &TransportConfig,
    randomness: &Randomness,
) -> Result<quinn::ServerConfig, TlsError> {
    let mut quinn = quinn::ServerConfig::with_crypto(tls.quic_config()?);
    quinn
        .transport_config(Arc::new(quic::transport(config, Side::Server, randomness)))
        .max_incoming(config.max_incoming)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
    Ok(quinn)
}
