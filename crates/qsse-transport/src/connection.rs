//! [`Connection`]: an open QUIC connection.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use qsse_proto::Code;
use rustls::pki_types::CertificateDer;

use crate::error::{ConnectionError, cut};
use crate::quic::{stream_count, varint};
use crate::recv::RecvStream;
use crate::send::SendStream;

/// An open connection. Clones are handles to the same one.
///
/// When the last handle to it is gone, streams included, it is closed with [`Code::NO_ERROR`].
#[derive(Clone)]
pub struct Connection {
    quinn: quinn::Connection,
}

impl Connection {
    pub(crate) fn new(quinn: quinn::Connection) -> Self {
        Self { quinn }
    }

    /// Opens a stream in both directions; waits while the peer permits no further one.
    ///
    /// The peer sees the stream once something was written to it. Cancel-safe.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let (send, recv) = self.quinn.open_bi().await?;
        Ok((SendStream::new(send), RecvStream::new(recv)))
    }

    /// Opens a stream towards the peer; waits while the peer permits no further one.
    ///
    /// The peer sees the stream once something was written to it. Cancel-safe.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        Ok(SendStream::new(self.quinn.open_uni().await?))
    }

    /// The next bidirectional stream that the peer opens. Cancel-safe.
    ///
    /// # Errors
    /// When the connection has ended and every stream opened before has been accepted.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let (send, recv) = self.quinn.accept_bi().await?;
        Ok((SendStream::new(send), RecvStream::new(recv)))
    }

    /// The next unidirectional stream that the peer opens. Cancel-safe.
    ///
    /// # Errors
    /// When the connection has ended and every stream opened before has been accepted.
    pub async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        Ok(RecvStream::new(self.quinn.accept_uni().await?))
    }

    /// Closes the connection at once: unsent data is dropped, pending calls fail with
    /// [`ConnectionError::LocallyClosed`].
    ///
    /// `reason` is for people; beyond 256 bytes it is cut, between two characters. Wait for the
    /// peer's acknowledgement with [`ServerEndpoint::wait_idle`](crate::ServerEndpoint::wait_idle)
    /// or its counterpart before ending the process.
    pub fn close(&self, code: Code, reason: &str) {
        self.quinn.close(varint(code), cut(reason).as_bytes());
    }

    /// Waits until the connection has ended and says why. Cancel-safe.
    pub async fn closed(&self) -> ConnectionError {
        self.quinn.closed().await.into()
    }

    /// Why the connection has ended; `None` while it is open.
    pub fn close_reason(&self) -> Option<ConnectionError> {
        self.quinn.close_reason().map(Into::into)
    }

    /// The peer's address as of now; a client may move to another one.
    pub fn remote_address(&self) -> SocketAddr {
        canonical(self.quinn.remote_address())
    }

    /// The protocol that the handshake agreed on.
    pub fn alpn(&self) -> Vec<u8> {
        self.quinn
            .handshake_data()
            .and_then(|data| data.downcast::<quinn::crypto::rustls::HandshakeData>().ok())
            .and_then(|data| data.protocol)
            .unwrap_or_default()
    }

    /// The peer's certificates, its own first; `None` when it showed none, as most clients do.
    pub fn peer_certificates(&self) -> Option<Vec<CertificateDer<'static>>> {
        let certificates = self.quinn.peer_identity()?.downcast().ok()?;
        Some(*certificates)
    }

    /// Counters and the estimate of the round trip.
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

    /// Lets the peer have this many bidirectional streams open from now on.
    pub fn set_max_remote_bidi_streams(&self, count: u32) {
        self.quinn
            .set_max_concurrent_bi_streams(stream_count(count));
    }

    /// Lets the peer have this many unidirectional streams open from now on.
    pub fn set_max_remote_uni_streams(&self, count: u32) {
        self.quinn
            .set_max_concurrent_uni_streams(stream_count(count));
    }

    /// Sets the bytes that may be written and not yet acknowledged, see
    /// [`TransportConfig::send_window`](crate::TransportConfig#structfield.send_window).
    pub fn set_send_window(&self, bytes: u64) {
        self.quinn.set_send_window(bytes);
    }

    /// A number that names this connection among those of the process for as long as a handle to it
    /// exists.
    pub fn id(&self) -> u64 {
        self.quinn.stable_id() as u64
    }
}

/// The address with an IPv4 one written as such, also where an IPv6 socket received from it.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
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

/// What a connection has moved so far, with all overhead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes of UDP payload sent.
    pub bytes_sent: u64,
    /// Bytes of UDP payload received.
    pub bytes_received: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Packets found lost and, where needed, sent again.
    pub lost_packets: u64,
    /// The current estimate of the round-trip time.
    pub rtt: Duration,
    /// The largest UDP payload in bytes that the path is known to carry.
    pub mtu: u16,
}
