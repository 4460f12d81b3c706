//! [`Listener`]: serves the routes on a TCP port.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use qsse_server::transport::rustls::ServerConfig;
use qsse_server::{CertificateDer, Server, ServerTls};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::connection::ConnectionInfo;

/// Concurrent connections. Further ones wait in the listener's queue.
const CONNECTIONS: usize = 10_000;

/// The time for TLS, and for the head of each request.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// The most bytes of the heads of a request, and of a connection's read buffer.
const HEAD_BYTES: usize = 16 << 10;

/// Requests of one connection at a time. Browsers open 100.
const STREAMS: u32 = 128;

/// What a client may send ahead on one stream, and four times that on a connection: what waits
/// there is not in the budget of bodies.
const WINDOW_BYTES: u32 = 64 << 10;

/// What one stream holds of an answer that is not read.
const SEND_BYTES: usize = 64 << 10;

/// How often a connection without traffic is asked whether its client is there, and how long the
/// answer may take.
const PING: Duration = Duration::from_secs(20);

/// The pause when a connection cannot be accepted. File descriptors may be exhausted; they become
/// free with time.
const PAUSE: Duration = Duration::from_millis(100);

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

/// Serves routes over HTTP/1.1 and HTTP/2 on a TCP port.
///
/// Limits, besides those of the server: 10,000 connections, 128 requests of one at a time, 16 KiB
/// for the head of a request and 5 s for it to come.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Arc<Mutex<TlsAcceptor>>>,
    /// Whether clients may also speak without TLS.
    plain: bool,
}

/// Replaces the certificate of a [`Listener`].
#[derive(Clone)]
pub struct ListenerTls(Arc<Mutex<TlsAcceptor>>);

impl ListenerTls {
    /// Presents another certificate from the next connection on.
    pub fn replace(&self, tls: &ServerTls) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = acceptor(tls);
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

    async fn bind(address: SocketAddr, tls: Option<TlsAcceptor>) -> Result<Self, ListenError> {
        let tcp = TcpListener::bind(address).await;
        let tcp = tcp.map_err(|source| ListenError { address, source })?;
        let plain = tls.is_none();
        let tls = tls.map(|tls| Arc::new(Mutex::new(tls)));
        Ok(Self { tcp, tls, plain })
    }

    /// Also serves clients that speak without TLS. Their first byte tells.
    #[must_use]
    pub fn and_plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Returns what replaces the certificate; `None` without TLS.
    pub fn certificate(&self) -> Option<ListenerTls> {
        self.tls.clone().map(ListenerTls)
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
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let graceful = GracefulShutdown::new();
        // Dropped with this future, which ends them.
        let mut connections = JoinSet::new();
        let ended = server.draining();
        let mut ended = std::pin::pin!(ended);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut ended => break,
                accepted = self.accept(&room) => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, address, permit)) => {
                    let watcher = graceful.watcher();
                    let (tls, plain) = (self.acceptor(), self.plain);
                    let router = router.clone();
                    connections.spawn(async move {
                        let _permit = permit;
                        let tls = match tls {
                            Some(_) if !begins_tls(&stream).await => match plain {
                                true => None,
                                false => return want_tls(stream).await,
                            },
                            tls => tls,
                        };
                        serve(stream, address, tls, router, watcher).await;
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "an HTTP connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        // Whoever connects now is refused, instead of waiting for an answer.
        drop(self);
        graceful.shutdown().await;
        while connections.join_next().await.is_some() {}
    }

    fn acceptor(&self) -> Option<TlsAcceptor> {
        let tls = self.tls.as_ref()?;
        Some(tls.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn accept(
        &self,
        room: &Arc<Semaphore>,
    ) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = Arc::clone(room).acquire_owned().await;
        let permit = permit.map_err(|_| io::Error::other("the listener has ended"))?;
        let (stream, address) = self.tcp.accept().await?;
        // An event is not to wait for the next one.
        stream.set_nodelay(true)?;
        Ok((stream, address, permit))
    }
}

fn acceptor(tls: &ServerTls) -> TlsAcceptor {
    let config: Arc<ServerConfig> = tls.for_tcp([&b"h2"[..], b"http/1.1"]);
    TlsAcceptor::from(config)
}

/// Returns whether a client begins with TLS: with the byte of a handshake (RFC 8446, section 5.1).
async fn begins_tls(stream: &TcpStream) -> bool {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    let peeked = tokio::time::timeout(HEAD_TIME, stream.peek(&mut first));
    // One that sends nothing fails either way.
    matches!(peeked.await, Ok(Ok(1))) && first == [HANDSHAKE]
}

/// Tells a client that speaks without TLS that this is not the way.
async fn want_tls(mut stream: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
        content-type: text/plain\r\n\r\nthis port wants https\n";
    let answered = async {
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        // A close with unread bytes would take the answer back.
        let mut head = [0; HEAD_BYTES];
        stream.read(&mut head).await
    };
    let _ = tokio::time::timeout(HEAD_TIME, answered).await;
}

/// Serves a connection from its TLS handshake to its end.
async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    watcher: Watcher,
) {
    let Some(tls) = tls else {
        return requests(stream, address, Vec::new(), router, watcher).await;
    };
    match tokio::time::timeout(HEAD_TIME, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let certificates = certificates.unwrap_or_default();
            let certificates: Vec<CertificateDer<'static>> = certificates
                .iter()
                .map(|one| one.clone().into_owned())
                .collect();
            requests(stream, address, certificates, router, watcher).await;
        }
        Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
    }
}

/// Serves the requests of a connection.
async fn requests<S>(
    stream: S,
    address: SocketAddr,
    certificates: Vec<CertificateDer<'static>>,
    router: Router,
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let info = ConnectionInfo::new(address, certificates);
    let used = info.clone();
    let service = TowerToHyperService::new(router.layer(Extension(info)));
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(watcher.watch(connection));
    let served = tokio::select! {
        served = &mut connection => served,
        // A client that is never let in gives its place to others.
        () = tokio::time::sleep(2 * HEAD_TIME), if !used.was_used() => match used.was_used() {
            true => connection.await,
            false => return,
        },
    };
    if let Err(error) = served {
        tracing::debug!(%address, error, "an HTTP connection failed");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(4 * WINDOW_BYTES)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES as u32)
        .max_send_buf_size(SEND_BYTES)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}
