//! [`ClientTls`]: the servers that a client trusts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::quic::{ClientConnection, Version};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use super::by_file::ByFile;
use super::default_alpn;
use super::dev_cert::{self, OrDevCert};
use super::pem::{self, Source};
use super::verify::{ByFingerprint, Recording, Trust, Verdict, Verifier};
use crate::crypto;
use crate::error::TlsError;
use crate::fingerprint::Fingerprint;

/// The servers that a client trusts, and the protocols that it offers.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    /// `None` for a caller's configuration, which has its own verifier.
    verifier: Option<Arc<dyn ServerCertVerifier>>,
    alpn: Vec<Vec<u8>>,
}

impl ClientTls {
    /// Trusts what the operating system trusts: certificates of public or company authorities.
    ///
    /// # Errors
    /// The system's roots cannot be loaded.
    #[cfg(feature = "platform-verifier")]
    pub fn platform() -> Result<Self, TlsError> {
        let verifier = rustls_platform_verifier::Verifier::new(crypto::provider())
            .map_err(|error| TlsError::PlatformRoots(error.to_string()))?;
        Ok(Self::verified_by(Arc::new(verifier)))
    }

    /// Trusts the development certificate of this user (see [`dev_cert`]). Also trusts what the
    /// operating system trusts, if the feature `platform-verifier` is on and the system's roots can
    /// be loaded.
    ///
    /// The development certificate is read during each handshake. So a server that was restarted
    /// with a new one is trusted again.
    pub fn local() -> Self {
        Self::local_at(dev_cert::path())
    }

    /// Does the same as [`local`](Self::local), with the development certificate in `folder`.
    pub fn local_in(folder: impl AsRef<Path>) -> Self {
        Self::local_at(Some(dev_cert::path_in(folder)))
    }

    fn local_at(path: Option<PathBuf>) -> Self {
        #[cfg(feature = "platform-verifier")]
        let others = Self::platform().ok().and_then(|tls| tls.verifier);
        #[cfg(not(feature = "platform-verifier"))]
        let others = None;
        Self::trusting(OrDevCert::new(path, others))
    }

    /// Trusts the certificates in a PEM file, and those that they have signed, for their names and
    /// during their validity.
    ///
    /// The file may contain a server's own certificate, even one that is marked as an authority, as
    /// `openssl req -x509` makes it.
    ///
    /// # Errors
    /// The file cannot be read or contains no usable certificate.
    pub fn roots_pem_file(path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let (origin, pem) = pem::read(path.as_ref())?;
        let source = Source { origin, pem: &pem };
        Ok(Self::trusting(ByFile::new(&source)?))
    }

    /// Trusts these roots and the certificates that they have signed. A server cannot present a
    /// root itself; for that, use [`roots_pem_file`](Self::roots_pem_file).
    ///
    /// # Errors
    /// There are no roots.
    pub fn roots(roots: impl Into<Arc<RootCertStore>>) -> Result<Self, TlsError> {
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), crypto::provider())
                .build()
                .map_err(|_| TlsError::NoRoots)?;
        Ok(Self::verified_by(verifier))
    }

    /// Trusts the certificates with these fingerprints and no others, whatever their names and
    /// dates are.
    ///
    /// The server must still prove that it owns the certificate. Without fingerprints no server is
    /// trusted.
    pub fn pinned(fingerprints: impl IntoIterator<Item = Fingerprint>) -> Self {
        Self::trusting(ByFingerprint {
            pinned: Some(fingerprints.into_iter().collect()),
        })
    }

    /// Trusts any server. The connection is encrypted, but the server may be anyone. Use it only in
    /// tests.
    pub fn insecure() -> Self {
        Self::trusting(ByFingerprint { pinned: None })
    }

    /// Uses a rustls configuration of the caller, for example one with a client certificate.
    ///
    /// A copy of it is used, with 0-RTT off and the protocols set. A refused certificate is
    /// reported without its fingerprint.
    ///
    /// # Errors
    /// It does not offer TLS 1.3 with AES-128-GCM, which QUIC needs.
    pub fn rustls(config: impl Into<Arc<ClientConfig>>) -> Result<Self, TlsError> {
        let tls = Self {
            config: config.into(),
            verifier: None,
            alpn: default_alpn(),
        };
        tls.check()?;
        Ok(tls)
    }

    /// Presents the certificate in these PEM files to servers that ask for one: the client's own
    /// first, then its issuers, and the key. One file may contain both.
    ///
    /// # Errors
    /// A file cannot be read or contains something else, or the two do not belong together.
    pub fn with_identity_files(
        mut self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let (certificate_origin, certificate) = pem::read(certificate.as_ref())?;
        let (key_origin, key) = pem::read(key.as_ref())?;
        let source = |origin, pem| Source { origin, pem };
        let identity = pem::identity(
            &source(certificate_origin, &certificate),
            &source(key_origin, &key),
        )?;
        let config = Arc::make_mut(&mut self.config);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(identity.certified));
        Ok(self)
    }

    /// Returns a rustls configuration that trusts the same servers, for connections over TCP, such
    /// as those of HTTPS. It offers no protocols.
    pub fn over_tcp(&self) -> ClientConfig {
        (*self.config).clone()
    }

    /// Offers these protocols, in order of preference, instead of `qsse/1` alone.
    #[must_use]
    pub fn with_alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Returns the protocols that are offered.
    pub fn alpn(&self) -> &[Vec<u8>] {
        &self.alpn
    }

    /// Returns the configuration for one connection, and the verdict in which its verifier records
    /// a refusal.
    pub(crate) fn quic_config(&self) -> Result<(Arc<QuicClientConfig>, Verdict), TlsError> {
        let verdict = Verdict::default();
        let mut config = (*self.config).clone();
        config.enable_early_data = false;
        config.alpn_protocols.clone_from(&self.alpn);
        if let Some(inner) = &self.verifier {
            let recording = Recording {
                inner: inner.clone(),
                verdict: verdict.clone(),
            };
            config
                .dangerous()
                .set_certificate_verifier(Arc::new(recording));
        }
        let quic = QuicClientConfig::try_from(Arc::new(config))
            .map_err(|error| TlsError::Unsuitable(error.to_string()))?;
        Ok((Arc::new(quic), verdict))
    }

    /// Checks that QUIC can use the configuration. rustls checks here what quinn assumes when it
    /// connects.
    fn check(&self) -> Result<(), TlsError> {
        self.quic_config()?;
        let mut config = (*self.config).clone();
        // This check must not use up a session ticket of the caller.
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from("localhost").expect("a host name");
        ClientConnection::new(Arc::new(config), Version::V1, name, Vec::new())
            .map_err(|error| TlsError::Unsuitable(error.to_string()))?;
        Ok(())
    }

    fn trusting(trust: impl Trust + 'static) -> Self {
        Self::verified_by(Arc::new(Verifier::new(trust)))
    }

    fn verified_by(verifier: Arc<dyn ServerCertVerifier>) -> Self {
        let mut config = ClientConfig::builder_with_provider(crypto::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_no_client_auth();
        // Every connection checks the certificate.
        config.resumption = Resumption::disabled();
        Self {
            config: Arc::new(config),
            verifier: Some(verifier),
            alpn: default_alpn(),
        }
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("verifier", &self.verifier)
            .field("alpn", &self.alpn)
            .finish_non_exhaustive()
    }
}
