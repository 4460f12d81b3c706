//! [`ServerTls`]: the certificate a server shows.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use rustls::ServerConfig;
use rustls::quic::{ServerConnection, Version};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;

use super::pem::{self, Identity, Source};
use super::{Fingerprint, TlsError, default_alpn};
use crate::crypto;

/// The certificate and key of a server, and the protocols it serves.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    alpn: Vec<Vec<u8>>,
    fingerprint: Option<Fingerprint>,
    reset_secret: Option<[u8; 32]>,
}

impl ServerTls {
    /// A certificate made now and kept in memory: for `localhost`, `127.0.0.1`, `::1` and the given
    /// host names or IP addresses.
    ///
    /// Clients pin its [`fingerprint`](Self::fingerprint). It is another one after each start.
    ///
    /// # Errors
    /// When a name is not one that a certificate can carry.
    #[cfg(feature = "self-signed")]
    pub fn self_signed<N: Into<String>>(
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, TlsError> {
        let names = names.into_iter().map(Into::into).collect();
        let made = super::self_signed::make(names)?;
        Self::pem(made.as_bytes(), made.as_bytes())
    }

    /// The development certificate in the user's [state folder](super::dev_cert), made or renewed
    /// as needed.
    ///
    /// Clients on the same machine read its fingerprint there. When the folder cannot be written,
    /// the certificate is in memory only, as with [`self_signed`](Self::self_signed), and the log
    /// has a warning.
    ///
    /// # Errors
    /// When no certificate can be made at all.
    #[cfg(feature = "self-signed")]
    pub fn dev_cert() -> Result<Self, TlsError> {
        super::dev_cert::load_or_make(super::dev_cert::path().as_deref())
    }

    /// [`dev_cert`](Self::dev_cert) in a folder of the caller's choice.
    ///
    /// # Errors
    /// As `dev_cert`.
    #[cfg(feature = "self-signed")]
    pub fn dev_cert_in(folder: impl AsRef<Path>) -> Result<Self, TlsError> {
        super::dev_cert::load_or_make(Some(&super::dev_cert::path_in(folder)))
    }

    /// A certificate chain and its key from PEM files: the server's own certificate first, then its
    /// issuers. One file may hold both.
    ///
    /// # Errors
    /// When a file cannot be read, holds something else, or the two do not belong together; each
    /// error says what to do.
    pub fn pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let (certificate_origin, certificate) = pem::read(certificate.as_ref())?;
        let (key_origin, key) = pem::read(key.as_ref())?;
        Self::from_sources(
            &Source {
                origin: certificate_origin,
                pem: &certificate,
            },
            &Source {
                origin: key_origin,
                pem: &key,
            },
        )
    }

    /// The same from PEM text in memory.
    ///
    /// # Errors
    /// As [`pem_files`](Self::pem_files).
    pub fn pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Self::from_sources(
            &Source {
                origin: "the given certificate".into(),
                pem: certificate,
            },
            &Source {
                origin: "the given key".into(),
                pem: key,
            },
        )
    }

    /// A rustls configuration of one's own, for instance one that asks clients for certificates or
    /// reloads its own.
    ///
    /// 0-RTT is switched off and the protocols are set in a copy of it; the rest stays. Its key is
    /// not known here, so the key of stateless resets is random: clients of a restarted server
    /// notice by their idle timeout.
    ///
    /// # Errors
    /// When it does not offer TLS 1.3 with AES-128-GCM, which QUIC needs.
    pub fn rustls(config: impl Into<Arc<ServerConfig>>) -> Result<Self, TlsError> {
        let tls = Self {
            config: config.into(),
            alpn: default_alpn(),
            fingerprint: None,
            reset_secret: None,
        };
        tls.quic_config()?;
        Ok(tls)
    }

    /// Serves these protocols, the preferred one first, instead of `qsse/1` alone.
    #[must_use]
    pub fn with_alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The fingerprint of the certificate; `None` for a rustls configuration that was handed in.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// The protocols served.
    pub fn alpn(&self) -> &[Vec<u8>] {
        &self.alpn
    }

    /// A secret that outlives restarts with the same key.
    pub(crate) fn reset_secret(&self) -> Option<[u8; 32]> {
        self.reset_secret
    }

    pub(crate) fn quic_config(&self) -> Result<Arc<QuicServerConfig>, TlsError> {
        let mut config = (*self.config).clone();
        config.max_early_data_size = 0;
        config.alpn_protocols.clone_from(&self.alpn);
        let config = Arc::new(config);
        // rustls checks here what quinn takes for granted when a client comes.
        ServerConnection::new(config.clone(), Version::V1, Vec::new())
            .map_err(|error| TlsError::Unsuitable(error.to_string()))?;
        QuicServerConfig::try_from(config)
            .map(Arc::new)
            .map_err(|error| TlsError::Unsuitable(error.to_string()))
    }

    fn from_sources(chain: &Source<'_>, key: &Source<'_>) -> Result<Self, TlsError> {
        let Identity { certified, key } = pem::identity(chain, key)?;
        let fingerprint = certified.cert.first().map(|leaf| Fingerprint::of(leaf));
        let mut config = ServerConfig::builder_with_provider(crypto::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| TlsError::Unsuitable(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        // Our clients do not resume sessions: spare the tickets and their memory.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self {
            config: Arc::new(config),
            alpn: default_alpn(),
            fingerprint,
            reset_secret: Some(crypto::derive(key.secret_der(), b"qsse stateless reset")),
        })
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("fingerprint", &self.fingerprint)
            .field("alpn", &self.alpn)
            .finish_non_exhaustive()
    }
}
