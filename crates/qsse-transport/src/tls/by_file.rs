//! [`ByFile`]: trust in the certificates of one file.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::TlsError;
use super::pem::{self, Source};
use crate::crypto;

/// Trusts the certificates in a file and those signed by them, for their names and while they are valid.
#[derive(Debug)]
pub(super) struct ByFile {
    origin: String,
    certificates: Vec<CertificateDer<'static>>,
    signed: Arc<WebPkiServerVerifier>,
}

impl ByFile {
    /// The certificates of `source`, at least one.
    pub(super) fn new(source: &Source<'_>) -> Result<Self, TlsError> {
        let certificates = pem::certificates(source)?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|error| TlsError::BadCertificate {
                    origin: source.origin.clone(),
                    problem: error.to_string(),
                })?;
        }
        let signed = WebPkiServerVerifier::builder_with_provider(roots.into(), crypto::provider())
            .build()
            .map_err(|_| TlsError::NoRoots)?;
        Ok(Self {
            origin: source.origin.clone(),
            certificates,
            signed,
        })
    }

    /// What `error` of the verifier of signatures means for a server that shows `end_entity`.
    ///
    /// A certificate that is itself in the file needs no issuer, and may be an authority's, as those are that
    /// `openssl req -x509` makes. The verifier checks the time before it looks for an issuer, so that is done; the name
    /// is not.
    fn judge(
        &self,
        error: Error,
        end_entity: &CertificateDer<'_>,
        name: &ServerName<'_>,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError as E;
        let Error::InvalidCertificate(problem) = &error else {
            return Err(error);
        };
        let stands = matches!(
            problem,
            E::Expired
                | E::ExpiredContext { .. }
                | E::NotValidYet
                | E::NotValidYetContext { .. }
                | E::NotValidForName
                | E::NotValidForNameContext { .. }
                | E::BadEncoding
        );
        if stands {
            return Err(error);
        }
        if self.certificates.contains(end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        // A bad signature: of the same subject as one in the file, as after a renewal, and of another key.
        if matches!(problem, E::UnknownIssuer | E::BadSignature) || is_authority(problem) {
            let unknown = NotInFile(self.origin.clone());
            return Err(E::Other(OtherError(Arc::new(unknown))).into());
        }
        Err(error)
    }
}

impl ServerCertVerifier for ByFile {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.signed
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .or_else(|error| self.judge(error, end_entity, server_name))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

/// The certificate is neither in the file nor signed by one of it: the file's name, on its way through rustls.
#[derive(Debug)]
pub(crate) struct NotInFile(pub(crate) String);

impl NotInFile {
    pub(crate) fn of(problem: &CertificateError) -> Option<&Self> {
        match problem {
            CertificateError::Other(OtherError(error)) => error.downcast_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for NotInFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "it is neither in {} nor signed by a certificate of it",
            self.0
        )
    }
}

impl std::error::Error for NotInFile {}

/// Whether the certificate was refused because it is an authority's and no server's.
pub(crate) fn is_authority(problem: &CertificateError) -> bool {
    // rustls passes the verifier's error on as it is; naming its type would take its crate as a dependency.
    matches!(problem, CertificateError::Other(error) if error.to_string() == "CaUsedAsEndEntity")
}
