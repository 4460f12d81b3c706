//! [`OrDevCert`]: trust in the development certificate beside others.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::fingerprint_of;
use crate::crypto;
use crate::tls::Fingerprint;
use crate::tls::verify::ByFingerprint;

/// Trusts the development certificate as it is at the time of the handshake, and whom `others` trust.
#[derive(Debug)]
pub(in crate::tls) struct OrDevCert {
    path: Option<PathBuf>,
    others: Option<Arc<dyn ServerCertVerifier>>,
    signatures: ByFingerprint,
}

impl OrDevCert {
    /// The development certificate is the one in the file at `path`.
    pub(in crate::tls) fn new(
        path: Option<PathBuf>,
        others: Option<Arc<dyn ServerCertVerifier>>,
    ) -> Self {
        Self {
            path,
            others,
            signatures: ByFingerprint {
                pinned: None,
                provider: crypto::provider(),
            },
        }
    }
}

impl ServerCertVerifier for OrDevCert {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Read here and not before: a server that was started meanwhile may have made a new one.
        let development = self.path.as_deref().and_then(fingerprint_of);
        if development == Some(Fingerprint::of(end_entity)) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.others {
            Some(others) => others.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_verify_schemes()
    }
}
