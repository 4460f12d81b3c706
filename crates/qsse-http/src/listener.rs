//! [`Listener`]: serves the routes on a TCP port.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use qsse_proto::H3_ALPN;
use qsse_server::transport::ServerEndpoint;
use qsse_server::transport::rustls::ServerConfig;
use qsse_server::{EndpointError, Server, ServerTls, TransportConfig};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::door::Door;
use crate::http3;
use crate::limits::ListenerLimits;
use crate::tcp::Connection;

/// The pause when a connection cannot be accepted. File descriptors may be exhausted; they become
/// free with time.
const PAUSE: Duration = Duration::from_millis(100);

/// How often a free port is tried that is to be free for TCP and UDP.
const ATTEMPTS: u32 = 16;

/// The listener cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for HTTP: {source}")]
#[non_exhaustive]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// Serves routes over HTTP/1.1 and HTTP/2 on a TCP port, and over HTTP/3 on a UDP port.
///
/// [`ListenerLimits`] has its limits, besides those of the server. The server's metrics
/// `http_connections` and `http_connections_ended` show when they are reached.
pub struct Listener {
    tcp: TcpListener,
    limits: ListenerLimits,
    tls: Option<Arc<Mutex<TlsAcceptor>>>,
    /// Whether clients may also speak without TLS.
    plain: bool,
    http3: Option<ServerEndpoint>,
}

/// Replaces the certificate of a [`Listener`].
#[derive(Clone)]
pub struct ListenerTls {
    tcp: Arc<Mutex<TlsAcceptor>>,
    http3: Option<ServerEndpoint>,
}

impl ListenerTls {
    /// Presents another certificate from the next connection on.
    pub fn replace(&self, tls: &ServerTls) {
        *self.tcp.lock().unwrap_or_else(PoisonError::into_inner) = acceptor(tls);
        let http3 = tls.clone().with_alpn([H3_ALPN]);
        if let Some(Err(error)) = self.http3.as_ref().map(|udp| udp.set_tls(&http3)) {
            tracing::error!(%error, "the certificate cannot be used for HTTP/3: the old one stays");
        }
    }
}

impl fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerTls").finish_non_exhaustive()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("tcp", &self.tcp)
            .field("tls", &self.tls.is_some())
            .finish()
    }
}

impl Listener {
    /// Listens on `address` without TLS: on loopback, or behind a proxy.
    ///
    /// # Errors
    /// The address is in use, or not one of this machine.
    pub async fn plain(address: SocketAddr) -> Result<Self, ListenError> {
        Self::bind(address, None).await
    }

    /// Listens on `address` with this certificate.
    ///
    /// # Errors
    /// The address is in use, or not one of this machine.
    pub async fn tls(address: SocketAddr, tls: &ServerTls) -> Result<Self, ListenError> {
        Self::bind(address, Some(acceptor(tls))).await
    }

    /// Does the same as [`tls`](Self::tls), and serves HTTP/3 on the UDP port of the same number,
    /// which answers over TCP then announce. With port 0, both get the same free one.
    ///
    /// # Errors
    /// The address is in use, for TCP or for UDP, or not one of this machine.
    pub async fn tls_and_http3(address: SocketAddr, tls: &ServerTls) -> Result<Self, ListenError> {
        let limits = ListenerLimits::default();
        let config = TransportConfig::server()
            .max_remote_bidi_streams(limits.streams)
            .max_connections(limits.connections);
        let http3 = tls.clone().with_alpn([H3_ALPN]);
        let mut attempts = if address.port() == 0 { ATTEMPTS } else { 1 };
        loop {
            let mut listener = Self::tls(address, tls).await?;
            let bound = listener.local_addr();
            let bound = bound.map_err(|source| ListenError { address, source })?;
            attempts -= 1;
            match ServerEndpoint::bind(bound, &http3, &config) {
                Ok(endpoint) => {
                    listener.http3 = Some(endpoint);
                    return Ok(listener);
                }
                Err(EndpointError::InUse { .. }) if attempts > 0 => {}
                Err(error) => {
                    return Err(ListenError {
                        address: bound,
                        source: io::Error::other(error),
                    });
                }
            }
        }
    }

    async fn bind(address: SocketAddr, tls: Option<TlsAcceptor>) -> Result<Self, ListenError> {
        let tcp = TcpListener::bind(address).await;
        let tcp = tcp.map_err(|source| ListenError { address, source })?;
        let plain = tls.is_none();
        let tls = tls.map(|tls| Arc::new(Mutex::new(tls)));
        let limits = ListenerLimits::default();
        Ok(Self {
            tcp,
            limits,
            tls,
            plain,
            http3: None,
        })
    }

    /// Sets what connections may take. Limits that [`check`](ListenerLimits::check) refuses may end
    /// every connection.
    #[must_use]
    pub fn limits(mut self, limits: ListenerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Also serves clients that speak without TLS. Their first byte tells.
    #[must_use]
    pub fn and_plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Returns what replaces the certificate; `None` without TLS.
    pub fn certificate(&self) -> Option<ListenerTls> {
        let (tcp, http3) = (self.tls.clone()?, self.http3.clone());
        Some(ListenerTls { tcp, http3 })
    }

    /// Returns the address that it listens on.
    ///
    /// # Errors
    /// The system does not know it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves a router until the server ends, and then until all clients have what was sent to
    /// them. Dropping the future ends all connections.
    pub async fn serve(self, server: Server, router: Router) {
        let door = Door::new(&server, self.limits.clone());
        // Dropped with this future, which ends them.
        let mut connections = JoinSet::new();
        if let Some(endpoint) = self.http3.clone() {
            let (door, server) = (door.clone(), server.clone());
            connections.spawn(http3::serve(endpoint, door, server, router.clone()));
        }
        let alt_svc = self.alt_svc();
        let ended = server.draining();
        let mut ended = std::pin::pin!(ended);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut ended => break,
                accepted = self.tcp.accept() => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, address)) => {
                    let Some(seat) = door.admit(address) else {
                        continue;
                    };
                    let (tls, plain) = (self.acceptor(), self.plain);
                    let (router, draining) = (router.clone(), server.clone());
                    let alt_svc = alt_svc.clone();
                    connections.spawn(async move {
                        let connection = Connection {
                            address,
                            seat,
                            router,
                            alt_svc,
                        };
                        let draining = async move { draining.draining().await };
                        connection.serve(stream, tls, plain, draining).await;
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "an HTTP connection was not accepted");
                    door.make_room();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        // Whoever connects now is refused, instead of waiting for an answer.
        drop(self);
        while connections.join_next().await.is_some() {}
    }

    fn alt_svc(&self) -> Option<HeaderValue> {
        let port = self.http3.as_ref()?.local_addr().port();
        HeaderValue::from_str(&format!("h3=\":{port}\"; ma=86400")).ok()
    }

    fn acceptor(&self) -> Option<TlsAcceptor> {
        let tls = self.tls.as_ref()?;
        Some(tls.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn acceptor(tls: &ServerTls) -> TlsAcceptor {
    let config: Arc<ServerConfig> = tls.for_tcp([&b"h2"[..], b"http/1.1"]);
    TlsAcceptor::from(config)
}
