//! By what a server is reached: the names of protocols, the port, the path.

/// The ALPN name of the protocol that this crate speaks (`QP-1.1`).
pub const ALPN: &[u8] = b"qsse/1";

/// The ALPN name of the Go library's dialect, which uses the same port (`QP-12.1`).
pub const GO_ALPN: &[u8] = b"PROTOCOL_QUIC";

/// The ALPN name of HTTP/3, which carries requests and WebTransport sessions (`QP-15.1`).
pub const H3_ALPN: &[u8] = b"h3";

/// The path at which WebTransport sessions are opened (`QP-15.2`).
pub const WEB_TRANSPORT_PATH: &str = "/qsse/1";

/// The default UDP port.
pub const DEFAULT_PORT: u16 = 4242;
