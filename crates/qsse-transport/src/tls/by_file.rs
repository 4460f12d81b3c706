//! [`ByFile`]: trust in the certificates of one file.

use std::fmt;
use std::sync::Arc;

use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, OtherError, RootCertStore};

use super::TlsError;
use super::pem::{self, Source};
use super::verify::{Shown, Trust};
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

    /// What `error` of the verifier of signatures means for a server that shows a certificate.
    ///
    /// A certificate that is itself in the file needs no issuer, and may be an authority's, as those are that
    /// `openssl req -x509` makes. The verifier checks the time before it looks for an issuer, so that is done; the name
    /// is not.
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
        // A bad signature: of the same subject as one in the file, as after a renewal, and of another key.
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
