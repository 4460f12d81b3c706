//! TLS: the certificate that a server presents, and the certificates that a client trusts.
//!
//! All configurations made here use TLS 1.3 only, with X25519 as the first key share, and pass
//! their crypto provider explicitly. Sessions are not resumed, so every connection checks the
//! certificate. 0-RTT is off, even in a caller's configuration: replayed bytes must never publish
//! anything twice.
//!
//! ```
//! use qsse_transport::tls::{ClientTls, Fingerprint};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let fingerprint: Fingerprint =
//!     "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9".parse()?;
//! let trust = ClientTls::pinned([fingerprint]);
//! # let _ = trust; Ok(())
//! # }
//! ```

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

#[cfg(feature = "self-signed")]
mod browsers;
mod by_file;
mod client;
mod client_certificates;
pub mod dev_cert;
mod pem;
#[cfg(feature = "self-signed")]
mod private_file;
#[cfg(feature = "self-signed")]
mod self_signed;
mod server;
mod verify;

pub use crate::error::TlsError;
pub use crate::fingerprint::{Fingerprint, FingerprintError};
pub use client::ClientTls;
pub use server::ServerTls;
pub(crate) use verify::Verdict;

/// Returns this crate's crypto provider, for rustls configurations of your own.
pub fn provider() -> Arc<CryptoProvider> {
    crate::crypto::provider()
}

/// Returns the protocols that are offered or served by default.
fn default_alpn() -> Vec<Vec<u8>> {
    vec![qsse_proto::ALPN.to_vec()]
}
