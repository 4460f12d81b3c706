//! [`ServerTls`]: the certificate that a server presents.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use rustls::quic::{ServerConnection, Version};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ConfigBuilder, ServerConfig, WantsVerifier};

#[cfg(feature = "self-signed")]
use super::browsers::{Browsers, ByProtocol};
use super::default_alpn;
#[cfg(feature = "self-signed")]
use super::dev_cert;
use super::pem::{self, Identity, Source};
use crate::crypto;
use crate::error::TlsError;
use crate::fingerprint::Fingerprint;

/// The certificate and key of a server, and the protocols that it serves.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    alpn: Vec<Vec<u8>>,
    fingerprint: Option<Fingerprint>,
    reset_secret: Option<[u8; 32]>,
    /// The certificates for clients of HTTP/3, if they get others.
    #[cfg(feature = "self-signed")]
    browsers: Option<Arc<Browsers>>,
}

impl ServerTls {
    /// Makes a new certificate in memory, for `localhost`, `127.0.0.1`, `::1` and the given host
    /// names or IP addresses.
    ///
    /// Clients pin its [`fingerprint`](Self::fingerprint), which is different after each start.
    ///
    /// # Errors
    /// A certificate cannot have one of the names.
    #[cfg(feature = "self-signed")]
    pub fn self_signed<N: Into<String>>(
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, TlsError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        Self::from_made(dev_cert::in_memory(&names)?, names)
    }

    /// Loads the development certificate from the user's [state folder](super::dev_cert). Makes or
    /// renews it if needed.
    ///
    /// Clients on the same machine read its fingerprint there. If the folder cannot be written, the
    /// certificate is in memory only, as with [`self_signed`](Self::self_signed), and a warning is
    /// logged.
    ///
    /// # Errors
    /// No certificate can be made at all.
    #[cfg(feature = "self-signed")]
    pub fn dev_cert() -> Result<Self, TlsError> {
        let made = dev_cert::load_or_make(dev_cert::path().as_deref())?;
        Self::from_made(made, Vec::new())
    }

    /// Does the same as [`dev_cert`](Self::dev_cert), in another folder.
    ///
    /// # Errors
    /// Those of `dev_cert`.
    #[cfg(feature = "self-signed")]
    pub fn dev_cert_in(folder: impl AsRef<Path>) -> Result<Self, TlsError> {
        let made = dev_cert::load_or_make(Some(&dev_cert::path_in(folder)))?;
        Self::from_made(made, Vec::new())
    }

    /// Loads a certificate chain and its key from PEM files: the server's own certificate first,
    /// then its issuers. One file may contain both.
    ///
    /// # Errors
    /// A file cannot be read or contains something else, or the two do not belong together. Each
    /// error tells what to do.
    pub fn pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let (certificate_origin, certificate) = pem::read(certificate.as_ref())?;
        let (key_origin, key) = pem::read(key.as_ref())?;
        Self::from_identity(pem::identity(
            &Source {
                origin: certificate_origin,
                pem: &certificate,
            },
            &Source {
                origin: key_origin,
                pem: &key,
            },
        )?)
    }

    /// Does the same as [`pem_files`](Self::pem_files), with PEM text in memory.
    ///
    /// # Errors
    /// Those of [`pem_files`](Self::pem_files).
    pub fn pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Self::from_identity(pem::identity_from(certificate, key)?)
    }

    /// Uses a rustls configuration of the caller, for example one that asks clients for
    /// certificates or reloads its own.
    ///
    /// A copy of it is used, with 0-RTT off and the protocols set. Its private key is unknown here,
    /// so the key for stateless resets is random: clients of a restarted server notice only by
    /// their idle timeout.
    ///
    /// # Errors
    /// It does not offer TLS 1.3 with AES-128-GCM, which QUIC needs.
    pub fn rustls(config: impl Into<Arc<ServerConfig>>) -> Result<Self, TlsError> {
        let tls = Self {
            config: config.into(),
            alpn: default_alpn(),
            fingerprint: None,
            reset_secret: None,
            #[cfg(feature = "self-signed")]
            browsers: None,
        };
        tls.quic_config()?;
        Ok(tls)
    }

    /// Asks clients for certificates: those from an authority in the PEM file `authorities` are
    /// accepted, and given to the server's code. A client may come without one; that code decides.
    /// `revoked` is a PEM file with lists of revoked certificates (CRL). If it is given, a
    /// certificate whose issuer has no list in it is refused, and so is one whose list is too old.
    ///
    /// # Errors
    /// A file cannot be read, or contains something else.
    pub fn with_client_certificates(
        mut self,
        authorities: impl AsRef<Path>,
        revoked: Option<&Path>,
    ) -> Result<Self, TlsError> {
        let verifier = super::client_certificates::verifier(authorities.as_ref(), revoked)?;
        let builder = builder()?.with_client_cert_verifier(verifier);
        let resolver = Arc::clone(&self.config.cert_resolver);
        self.config = Arc::new(without_sessions(builder.with_cert_resolver(resolver)));
        Ok(self)
    }

    /// Serves these protocols, in order of preference, instead of `qsse/1` alone.
    #[must_use]
    pub fn with_alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Returns the fingerprint of the certificate; `None` for a caller's rustls configuration.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// Returns the fingerprints of the certificates that clients of HTTP/3 get if this crate has
    /// made them: of the one in use and of the next one. Otherwise they get the same as all others,
    /// and this is empty.
    ///
    /// They are valid for at most 14 days, as browsers demand of certificates that a page trusts by
    /// their hash, and renewed as the server runs. Whoever has read both can connect for at least
    /// five days.
    pub fn browser_fingerprints(&self) -> Vec<Fingerprint> {
        #[cfg(feature = "self-signed")]
        if let Some(browsers) = &self.browsers {
            return browsers.fingerprints();
        }
        Vec::new()
    }

    /// Returns the protocols that are served.
    pub fn alpn(&self) -> &[Vec<u8>] {
        &self.alpn
    }

    /// Returns a configuration with the same certificate for TLS over TCP, which offers these
    /// protocols.
    pub fn for_tcp<P: Into<Vec<u8>>>(
        &self,
        protocols: impl IntoIterator<Item = P>,
    ) -> Arc<ServerConfig> {
        let mut config = (*self.config).clone();
        config.max_early_data_size = 0;
        config.alpn_protocols = protocols.into_iter().map(Into::into).collect();
        Arc::new(config)
    }

    /// Returns a secret that stays the same after a restart with the same key.
    pub(crate) fn reset_secret(&self) -> Option<[u8; 32]> {
        self.reset_secret
    }

    pub(crate) fn quic_config(&self) -> Result<Arc<QuicServerConfig>, TlsError> {
        let mut config = (*self.config).clone();
        config.max_early_data_size = 0;
        config.alpn_protocols.clone_from(&self.alpn);
        let config = Arc::new(config);
        // rustls checks here what quinn assumes when a client connects.
        ServerConnection::new(config.clone(), Version::V1, Vec::new())
            .map_err(|error| TlsError::Unsuitable(error.to_string()))?;
        QuicServerConfig::try_from(config)
            .map(Arc::new)
            .map_err(|error| TlsError::Unsuitable(error.to_string()))
    }

    fn from_identity(identity: Identity) -> Result<Self, TlsError> {
        let Identity { certified, key } = identity;
        let fingerprint = certified.cert.first().map(|leaf| Fingerprint::of(leaf));
        let config = builder()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        Ok(Self {
            config: Arc::new(without_sessions(config)),
            alpn: default_alpn(),
            fingerprint,
            reset_secret: Some(crypto::derive(key.secret_der(), b"qsse stateless reset")),
            #[cfg(feature = "self-signed")]
            browsers: None,
        })
    }

    /// Presents a certificate of this crate's making, and to clients of HTTP/3 one that browsers
    /// accept.
    #[cfg(feature = "self-signed")]
    fn from_made(made: dev_cert::Made, names: Vec<String>) -> Result<Self, TlsError> {
        let own = Arc::clone(&made.identity.certified);
        let browsers = Browsers::new(names, &made.text, &made.identity, made.file)?;
        let browsers = Arc::new(browsers);
        let mut tls = Self::from_identity(made.identity)?;
        let resolver = ByProtocol {
            own,
            browsers: Arc::clone(&browsers),
        };
        Arc::make_mut(&mut tls.config).cert_resolver = Arc::new(resolver);
        tls.browsers = Some(browsers);
        Ok(tls)
    }
}

fn builder() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, TlsError> {
    ServerConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| TlsError::Unsuitable(error.to_string()))
}

/// qsse clients do not resume sessions, so tickets would only cost memory.
fn without_sessions(mut config: ServerConfig) -> ServerConfig {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("fingerprint", &self.fingerprint)
            .field("alpn", &self.alpn)
            .finish_non_exhaustive()
    }
}
