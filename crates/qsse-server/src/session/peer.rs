//! [`Peer`]: how a session's client is connected.

use std::net::SocketAddr;
use std::time::Duration;

use qsse_proto::Code;
use qsse_transport::Connection;
use qsse_transport::rustls::pki_types::CertificateDer;

/// How a session's client is connected: what the server's other parts ask of that.
pub(crate) trait Peer: Send + Sync {
    /// Returns where it connects from.
    fn address(&self) -> SocketAddr;

    /// Returns the name of the protocol, for people.
    fn protocol(&self) -> String;

    /// Returns its certificates, its own first.
    fn certificates(&self) -> Vec<CertificateDer<'static>>;

    /// Returns what was sent and received.
    fn traffic(&self) -> Traffic;

    /// Ends the connection at once. The first reason counts.
    fn close(&self, code: Code, reason: &str);
}

/// Bytes on the network, and their round-trip time where it is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) rtt: Duration,
}

impl Peer for Connection {
    fn address(&self) -> SocketAddr {
        self.remote_address()
    }

    fn protocol(&self) -> String {
        match self.is_session() {
            true => "wt".into(),
            false => String::from_utf8_lossy(&self.alpn()).into_owned(),
        }
    }

    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.peer_certificates().unwrap_or_default()
    }

    fn traffic(&self) -> Traffic {
        let stats = self.stats();
        Traffic {
            bytes_sent: stats.bytes_sent,
            bytes_received: stats.bytes_received,
            rtt: stats.rtt,
        }
    }

    fn close(&self, code: Code, reason: &str) {
        // The connection's own method.
        Connection::close(self, code, reason);
    }
}
