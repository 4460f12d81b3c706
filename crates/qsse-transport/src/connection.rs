//! [`Connection`]: an open QUIC connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qsse_proto::Code;
use rustls::pki_types::CertificateDer;
use tokio::sync::{Mutex, mpsc};

use crate::error::{ConnectionError, cut};
use crate::quic::{Closing, stream_count, varint};
use crate::recv::RecvStream;
use crate::send::SendStream;
use crate::session::Session;
use crate::socket::canonical;

/// How many streams the peer may open beside those of a session: the one that opened the session,
/// and requests of HTTP/3.
const BESIDE_SESSION: u32 = 8;

/// An open connection. Clones are handles to the same connection.
///
/// It is a connection of QUIC, or a WebTransport session inside one, which is used in the same way.
///
/// When the last handle is dropped, streams included, the connection is closed with
/// [`Code::NO_ERROR`].
#[derive(Clone)]
pub struct Connection {
    quinn: quinn::Connection,
    /// Set if it is a session.
    within: Option<Within>,
}

/// A session, and the streams of the peer in it.
#[derive(Clone)]
struct Within {
    session: Arc<Session>,
    accepted: Arc<Mutex<mpsc::UnboundedReceiver<SessionStream>>>,
}

#[allow(dead_code, reason = "only HTTP/3 makes sessions")]
/// A stream that the peer has opened in a session. Its header has been read.
#[derive(Debug)]
pub(crate) enum SessionStream {
    /// A bidirectional one.
    Bi(SendStream, RecvStream),
    /// A unidirectional one.
    Uni(RecvStream),
}

impl Connection {
    pub(crate) fn new(quinn: quinn::Connection) -> Self {
        let within = None;
        Self { quinn, within }
    }

    #[cfg(feature = "http3")]
    /// Creates the handle of a session on this connection, whose peer opens the streams that
    /// `accepted` gives.
    pub(crate) fn session(
        &self,
        session: Session,
        accepted: mpsc::UnboundedReceiver<SessionStream>,
    ) -> Self {
        Self {
            quinn: self.quinn.clone(),
            within: Some(Within {
                session: Arc::new(session),
                accepted: Arc::new(Mutex::new(accepted)),
            }),
        }
    }

    /// Returns whether it is a WebTransport session.
    pub fn is_session(&self) -> bool {
        self.within.is_some()
    }

    /// Opens a bidirectional stream. Waits while the peer permits no further one.
    ///
    /// The peer sees the stream once data has been written to it. Cancel-safe.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let opened = self.quinn.open_bi();
        let (send, recv) = match &self.within {
            None => opened.await.map_err(ConnectionError::from_quinn)?,
            Some(within) => within.open(opened).await?,
        };
        let (send, recv) = (SendStream::new(send), RecvStream::new(recv));
        Ok(match &self.within {
            None => (send, recv),
            Some(Within { session, .. }) => {
                let header = session.bidi_header();
                (send.within(session, header), recv.within(session))
            }
        })
    }

    /// Opens a unidirectional stream to the peer. Waits while the peer permits no further one.
    ///
    /// The peer sees the stream once data has been written to it. Cancel-safe.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        let opened = self.quinn.open_uni();
        match &self.within {
            None => opened
                .await
                .map(SendStream::new)
                .map_err(ConnectionError::from_quinn),
            Some(within) => {
                let send = SendStream::new(within.open(opened).await?);
                let session = &within.session;
                Ok(send.within(session, session.uni_header()))
            }
        }
    }

    /// Waits for the next bidirectional stream that the peer opens. Cancel-safe.
    ///
    /// # Errors
    /// The connection has ended, and every stream that was opened before has been accepted.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let Some(within) = &self.within else {
            let accepted = self.quinn.accept_bi().await;
            let (send, recv) = accepted.map_err(ConnectionError::from_quinn)?;
            return Ok((SendStream::new(send), RecvStream::new(recv)));
        };
        loop {
            // QP-1.3: nobody accepts streams of the other kind; dropping one refuses it.
            if let SessionStream::Bi(send, recv) = self.accept(within).await? {
                let session = &within.session;
                return Ok((send.within(session, Bytes::new()), recv.within(session)));
            }
        }
    }

    /// Waits for the next unidirectional stream that the peer opens. Cancel-safe.
    ///
    /// # Errors
    /// The connection has ended, and every stream that was opened before has been accepted.
    pub async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        let Some(within) = &self.within else {
            let accepted = self.quinn.accept_uni().await;
            return accepted
                .map(RecvStream::new)
                .map_err(ConnectionError::from_quinn);
        };
        loop {
            if let SessionStream::Uni(recv) = self.accept(within).await? {
                return Ok(recv.within(&within.session));
            }
        }
    }

    /// Waits for the next stream of a session.
    async fn accept(&self, within: &Within) -> Result<SessionStream, ConnectionError> {
        let mut accepted = within.accepted.lock().await;
        tokio::select! {
            biased;
            Some(stream) = accepted.recv() => Ok(stream),
            reason = self.closed() => Err(reason),
        }
    }

    /// Closes the connection at once. Unsent data is dropped, and pending calls fail with
    /// [`ConnectionError::LocallyClosed`].
    ///
    /// `reason` is for people. It is cut to 256 bytes, between two characters. Before you end the
    /// process, wait for the peer's acknowledgement with
    /// [`ServerEndpoint::wait_idle`](crate::ServerEndpoint::wait_idle) or the client's counterpart.
    pub fn close(&self, code: Code, reason: &str) {
        if let Some(Within { session, .. }) = &self.within {
            return session.close(code, reason);
        }
        Closing::of(&self.quinn).begin();
        self.quinn.close(varint(code), cut(reason).as_bytes());
    }

    /// Waits until the connection has ended and returns the reason. Cancel-safe.
    pub async fn closed(&self) -> ConnectionError {
        match &self.within {
            None => ConnectionError::from_quinn(self.quinn.closed().await),
            Some(within) => within.ended().await,
        }
    }

    /// Returns why the connection has ended; `None` while it is open.
    pub fn close_reason(&self) -> Option<ConnectionError> {
        match &self.within {
            None => self.quinn.close_reason().map(ConnectionError::from_quinn),
            Some(within) => within.session.reason().cloned(),
        }
    }

    /// Returns the peer's current address. A client may move to another one.
    pub fn remote_address(&self) -> SocketAddr {
        canonical(self.quinn.remote_address())
    }

    /// Returns the protocol that the handshake agreed on.
    pub fn alpn(&self) -> Vec<u8> {
        self.quinn
            .handshake_data()
            .and_then(|data| data.downcast::<quinn::crypto::rustls::HandshakeData>().ok())
            .and_then(|data| data.protocol)
            .unwrap_or_default()
    }

    /// Returns the peer's certificates, its own first; `None` if it sent none, as most clients do.
    pub fn peer_certificates(&self) -> Option<Vec<CertificateDer<'static>>> {
        let certificates = self.quinn.peer_identity()?.downcast().ok()?;
        Some(*certificates)
    }

    /// Returns counters and the estimated round-trip time.
    pub fn stats(&self) -> Stats {
        let stats = self.quinn.stats();
        Stats {
            bytes_sent: stats.udp_tx.bytes,
            bytes_received: stats.udp_rx.bytes,
            sent_packets: stats.path.sent_packets,
            lost_packets: stats.path.lost_packets,
            rtt: stats.path.rtt,
            mtu: stats.path.current_mtu,
        }
    }

    /// Permits the peer this many open bidirectional streams from now on.
    pub fn set_max_remote_bidi_streams(&self, count: u32) {
        let count = match self.within {
            None => count,
            Some(_) => count.saturating_add(BESIDE_SESSION),
        };
        self.quinn
            .set_max_concurrent_bi_streams(stream_count(count));
    }

    /// Permits the peer this many open unidirectional streams from now on.
    pub fn set_max_remote_uni_streams(&self, count: u32) {
        self.quinn
            .set_max_concurrent_uni_streams(stream_count(count));
    }

    /// Sets how many bytes the peer may send ahead on all streams together; see
    /// [`TransportConfig::receive_window`](crate::TransportConfig#structfield.receive_window).
    pub fn set_receive_window(&self, bytes: u64) {
        let bytes = quinn::VarInt::from_u64(bytes).unwrap_or(quinn::VarInt::MAX);
        self.quinn.set_receive_window(bytes);
    }

    /// Sets how many bytes may be written and not yet be acknowledged; see
    /// [`TransportConfig::send_window`](crate::TransportConfig#structfield.send_window).
    pub fn set_send_window(&self, bytes: u64) {
        self.quinn.set_send_window(bytes);
    }

    /// Returns a number that is unique among the connections of this process while a handle to this
    /// one exists.
    pub fn id(&self) -> u64 {
        self.quinn.stable_id() as u64
    }
}

impl Within {
    /// Waits for a stream, or for the end of the session.
    async fn open<S>(
        &self,
        opened: impl Future<Output = Result<S, quinn::ConnectionError>>,
    ) -> Result<S, ConnectionError> {
        let opened = async {
            match opened.await {
                Ok(stream) => stream,
                // The session tells why.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            reason = self.ended() => Err(reason),
            stream = opened => Ok(stream),
        }
    }

    async fn ended(&self) -> ConnectionError {
        self.session.ending().ended().await;
        let reason = self.session.reason().cloned();
        reason.unwrap_or(ConnectionError::LocallyClosed)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id())
            .field("remote_address", &self.remote_address())
            .field("close_reason", &self.close_reason())
            .finish()
    }
}

/// What a connection has transferred so far, including all overhead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes of UDP payload sent.
    pub bytes_sent: u64,
    /// Bytes of UDP payload received.
    pub bytes_received: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Packets that were lost and, where needed, sent again.
    pub lost_packets: u64,
    /// The current estimate of the round-trip time.
    pub rtt: Duration,
    /// The largest UDP payload in bytes that the path is known to carry.
    pub mtu: u16,
}
