//! [`ByFile`]: trusts the certificates of one file.

use std::sync::Arc;

use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, OtherError, RootCertStore};

use super::pem::{self, Source};
use super::verify::{Shown, Trust};
use crate::crypto;
use crate::error::{NotInFile, TlsError, is_authority};

/// Trusts the certificates in a file, and those that they have signed, for their names and during
/// their validity.
#[derive(Debug)]
pub(super) struct ByFile {
    origin: String,
    certificates: Vec<CertificateDer<'static>>,
    signed: Arc<WebPkiServerVerifier>,
}

impl ByFile {
    /// Reads the certificates of `source`, at least one.
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

    /// Decides about a certificate that the signature verifier refused with `error`.
    ///
    /// A certificate that is itself in the file needs no issuer. It may also be an authority's, as
    /// `openssl req -x509` makes it. The verifier has checked the time, because it does so before
    /// it looks for an issuer. It has not checked the name.
    fn judge_unsigned(&self, error: Error, shown: &Shown<'_>) -> Result<(), Error> {
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
        if self.certificates.contains(shown.end_entity) {
            return verify_server_name(&ParsedCertificate::try_from(shown.end_entity)?, shown.name);
        }
        // A bad signature occurs after a renewal: the file has a certificate of the same subject
        // with another key.
        if matches!(problem, E::UnknownIssuer | E::BadSignature) || is_authority(problem) {
            let unknown = NotInFile(self.origin.clone());
            return Err(E::Other(OtherError(Arc::new(unknown))).into());
        }
        Err(error)
    }
}

impl Trust for ByFile {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), Error> {
        let signed = shown.ask(&*self.signed);
        signed.or_else(|error| self.judge_unsigned(error, shown))
    }
}
