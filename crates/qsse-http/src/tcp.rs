//! [`Connection`]: a connection over TCP.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use qsse_server::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::activity::Ended;
use crate::connection::ConnectionInfo;
use crate::door::Seat;
use crate::limits::ListenerLimits;
use crate::tracked::Tracked;

/// What a client may send ahead on one stream, and four times that on a connection: what waits
/// there is not in the budget of bodies.
const WINDOW_BYTES: u32 = 64 << 10;

/// What one stream holds of an answer that is not read.
const SEND_BYTES: usize = 64 << 10;

/// How often a connection without traffic is asked whether its client is there, and how long the
/// answer may take.
const PING: Duration = Duration::from_secs(20);

/// How long a connection that ends may take to say so.
const GOODBYE: Duration = Duration::from_secs(1);

/// The least bytes of a head that hyper can be limited to.
const LEAST_HEAD: usize = 8 << 10;

/// The requests that a client has given up before they were looked at, and streams that it used
/// wrongly, after which an HTTP/2 connection ends.
const FAULTS: usize = 64;

/// Returns whether a client begins with TLS: with the byte of a handshake (RFC 8446, section 5.1).
/// `None` if it says nothing.
async fn begins_tls(stream: &TcpStream) -> Option<bool> {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) => Some(first == [HANDSHAKE]),
        _ => None,
    }
}

/// Tells a client that speaks without TLS that this is not the way.
async fn want_tls(mut stream: TcpStream) -> io::Result<()> {
    const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
        content-type: text/plain\r\n\r\nthis port wants https\n";
    stream.write_all(ANSWER).await?;
    stream.shutdown().await?;
    // A close with unread bytes would take the answer back.
    let mut head = [0; LEAST_HEAD];
    stream.read(&mut head).await.map(drop)
}

/// A connection that has a place.
pub(crate) struct Connection {
    pub(crate) address: SocketAddr,
    pub(crate) seat: Seat,
    pub(crate) router: Router,
    /// Where the same is served over HTTP/3.
    pub(crate) alt_svc: Option<HeaderValue>,
}

/// What a client begins with.
enum Opened {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Serves a connection from its TLS handshake to its end.
    pub(crate) async fn serve(
        self,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        plain: bool,
        draining: impl Future<Output = ()>,
    ) {
        let opened = timeout(self.seat.limits().head_timeout, open(stream, tls, plain));
        let opened = tokio::select! {
            opened = opened => opened,
            ended = self.seat.activity.ended() => return self.seat.count(ended),
        };
        match opened {
            Ok(Ok(Opened::Plain(stream))) => {
                // Clients follow it only if the server has proved who it is.
                let plain = Self {
                    alt_svc: None,
                    ..self
                };
                plain.requests(stream, Vec::new(), draining).await;
            }
            Ok(Ok(Opened::Tls(stream))) => {
                let certificates = stream.get_ref().1.peer_certificates();
                let certificates: Vec<CertificateDer<'static>> = certificates
                    .unwrap_or_default()
                    .iter()
                    .map(|one| one.clone().into_owned())
                    .collect();
                self.requests(stream, certificates, draining).await;
            }
            Ok(Err(error)) => {
                tracing::debug!(address = %self.address, %error, "a TLS handshake failed");
                self.seat.count(Ended::Handshake);
            }
            Err(_) => {
                tracing::debug!(address = %self.address, "a TLS handshake took too long");
                self.seat.count(Ended::Handshake);
            }
        }
    }

    /// Serves the requests of a connection.
    async fn requests<S>(
        &self,
        stream: S,
        certificates: Vec<CertificateDer<'static>>,
        draining: impl Future<Output = ()>,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (limits, activity) = (self.seat.limits(), &self.seat.activity);
        let info = ConnectionInfo::new(self.address, certificates);
        let service = Tracked {
            router: TowerToHyperService::new(self.router.clone()),
            info: info.clone(),
            activity: Arc::clone(activity),
            resets: limits.resets,
            alt_svc: self.alt_svc.clone(),
        };
        let builder = builder(limits);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut over = pin!(activity.over(limits, || info.was_let_in()));
        let mut draining = pin!(draining);
        let mut is_draining = false;
        let ended = loop {
            tokio::select! {
                served = connection.as_mut() => {
                    if let Err(error) = served {
                        tracing::debug!(address = %self.address, error, "an HTTP connection failed");
                    }
                    return;
                }
                ended = &mut over => break ended,
                () = &mut draining, if !is_draining => {
                    is_draining = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        tracing::debug!(address = %self.address, why = ended.name(), "an HTTP connection was ended");
        self.seat.count(ended);
        // Over HTTP/2 the client is told.
        connection.as_mut().graceful_shutdown();
        let _ = timeout(GOODBYE, connection).await;
    }
}

/// Waits for what a client begins with, and makes the TLS handshake.
async fn open(stream: TcpStream, tls: Option<TlsAcceptor>, plain: bool) -> io::Result<Opened> {
    // An event is not to wait for the next one.
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        return Ok(Opened::Plain(stream));
    };
    match begins_tls(&stream).await {
        Some(true) => Ok(Opened::Tls(Box::new(tls.accept(stream).await?))),
        Some(false) if plain => Ok(Opened::Plain(stream)),
        Some(false) => {
            want_tls(stream).await?;
            Err(io::Error::other("the client spoke without TLS"))
        }
        None => Err(io::Error::other("the client said nothing")),
    }
}

fn builder(limits: &ListenerLimits) -> Builder<TokioExecutor> {
    let head = limits.head_bytes.max(LEAST_HEAD);
    let mut builder = Builder::new(TokioExecutor::new());
    // The time for heads is that of an idle connection, or of one that was not let in.
    builder.http1().header_read_timeout(None).max_buf_size(head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(4 * WINDOW_BYTES)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(FAULTS)
        .max_local_error_reset_streams(FAULTS)
        .max_send_buf_size(SEND_BYTES)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}
