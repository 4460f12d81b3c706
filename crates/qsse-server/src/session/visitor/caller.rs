//! [`Caller`]: who asks to be let in.

use std::net::SocketAddr;

use qsse_transport::rustls::pki_types::CertificateDer;

/// Who asks to be let in by another protocol than `qsse/1`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Caller<'a> {
    /// The name of the protocol, for people, such as `sse/2`.
    pub protocol: &'static str,
    /// Where it connects from.
    pub address: SocketAddr,
    /// Its token.
    pub token: Option<&'a str>,
    /// Its certificates, its own first, if it sent any.
    pub certificates: &'a [CertificateDer<'static>],
}

impl<'a> Caller<'a> {
    /// Creates a caller without token and certificates.
    pub const fn new(protocol: &'static str, address: SocketAddr) -> Self {
        Self {
            protocol,
            address,
            token: None,
            certificates: &[],
        }
    }

    /// Sets the token.
    #[must_use]
    pub const fn token(mut self, token: Option<&'a str>) -> Self {
        self.token = token;
        self
    }

    /// Sets the certificates.
    #[must_use]
    pub const fn certificates(mut self, certificates: &'a [CertificateDer<'static>]) -> Self {
        self.certificates = certificates;
        self
    }
}
