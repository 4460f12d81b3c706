//! QUIC transport of qsse: endpoints, framed streams and TLS set-up on quinn.
//!
//! This is the only published crate that names quinn. The servers and clients of qsse use its
//! [`Connection`]s, [`SendStream`]s, [`RecvStream`]s and errors. The crate settles what fan-out
//! needs and QUIC libraries leave open: windows that bound the memory of a slow peer, keep-alives
//! that hold a quiet connection open for hours, deadlines and limits for handshakes, UDP buffers
//! whose size is verified, stateless resets that survive a restart, and TLS that is verified by
//! default.
//!
//! - [`ServerEndpoint`] binds a UDP socket and returns [`Handshake`]s. It never waits for one.
//! - [`ClientEndpoint`] connects. [`ConnectError`] distinguishes a refused certificate from a port
//!   where no server listens.
//! - [`FrameReader`] and [`FrameWriter`] carry `qsse/1` frames. They can be cancelled at any time.
//! - [`tls`] makes certificates and decides which to trust. [`ServerUrl`] names a server.
//! - [`TransportConfig`] has every limit and window, with the reason for each.
//!
//! 0-RTT is always off, even in a caller's rustls configuration. The crypto provider is explicit.
//!
//! # Example
//!
//! ```
//! use qsse_proto::Code;
//! use qsse_transport::tls::{ClientTls, ServerTls};
//! use qsse_transport::{ClientEndpoint, ServerEndpoint, TransportConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[cfg(feature = "self-signed")] {
//! let server_tls = ServerTls::self_signed([] as [&str; 0])?;
//! let fingerprint = server_tls.fingerprint().expect("we made the certificate");
//! let config = TransportConfig::server();
//! let server = ServerEndpoint::bind("127.0.0.1:0".parse()?, &server_tls, &config)?;
//! let address = server.local_addr();
//! let serving = tokio::spawn(async move {
//!     let connection = server.accept().await.expect("open").complete().await?;
//!     let mut stream = connection.open_uni().await?;
//!     stream.write_all(&mut ["hello".into()]).await?;
//!     stream.finish();
//!     connection.closed().await;
//!     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
//! });
//!
//! let client = ClientEndpoint::bind("127.0.0.1:0".parse()?)?;
//! let trust = ClientTls::pinned([fingerprint]);
//! let config = TransportConfig::client();
//! let connection = client.connect(address, "localhost", &trust, &config).await?;
//! let mut stream = connection.accept_uni().await?;
//! assert_eq!(stream.read_chunk().await?.as_deref(), Some(&b"hello"[..]));
//! connection.close(Code::NO_ERROR, "done");
//! serving.await?.expect("served");
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `aws-lc-rs` | yes | the aws-lc-rs crypto provider; used if both are on |
//! | `ring` | no | the ring crypto provider |
//! | `platform-verifier` | yes | `ClientTls::platform`: the roots of the operating system |
//! | `self-signed` | yes | `ServerTls::self_signed` and `ServerTls::dev_cert` |
//! | `http3` | no | the module `http3`: requests and WebTransport sessions |
//! | `abstract-socket` | no | endpoints on a caller's socket, for simulations; names quinn |
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the outputs belong to the program, and printing panics where nobody reads"
)]

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!(
    "qsse-transport needs a crypto provider: enable the feature `aws-lc-rs` (the default) or `ring`"
);

mod client;
mod config;
mod connection;
mod crypto;
mod error;
mod fingerprint;
mod frames;
#[cfg(feature = "http3")]
pub mod http3;
mod memory;
mod network;
mod places;
mod quic;
mod recv;
mod send;
mod server;
#[allow(dead_code, unused_imports, reason = "only HTTP/3 makes sessions")]
mod session;
mod socket;
pub mod tls;
mod url;

pub use client::ClientEndpoint;
pub use config::TransportConfig;
pub use connection::{Connection, Stats};
pub use error::{
    BindError, CertificateProblem, ConnectError, ConnectionError, FrameError, HandshakeError,
    ReadError, WriteError,
};
pub use frames::{FrameReader, FrameWriter};
pub use memory::release_free_memory;
pub use network::Network;
pub use places::Places;
pub use recv::RecvStream;
/// The TLS library whose configurations [`tls`] accepts.
pub use rustls;
pub use send::{SendStream, Written};
pub use server::{EndpointStats, Handshake, ServerEndpoint};
pub use socket::UdpBuffers;
pub use url::{ServerUrl, UrlError};

#[cfg(all(doctest, feature = "self-signed"))]
#[doc = include_str!("../README.md")]
struct Readme;
