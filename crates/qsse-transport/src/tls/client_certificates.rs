//! Verifies the certificates of clients.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::pem::{self, Source};
use crate::crypto;
use crate::error::TlsError;

/// Makes a verifier of certificates from these authorities. Clients may come without one.
pub(super) fn verifier(
    authorities: &Path,
    revoked: Option<&Path>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let (origin, text) = pem::read(authorities)?;
    let source = Source {
        origin: origin.clone(),
        pem: &text,
    };
    let bad = |problem: String| TlsError::BadCertificate {
        origin: origin.clone(),
        problem,
    };
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(&source)? {
        let added = roots.add(certificate);
        added.map_err(|error| bad(error.to_string()))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots.into(), crypto::provider())
        .allow_unauthenticated();
    if let Some(path) = revoked {
        // Authorities rarely publish lists for their own certificates.
        builder = builder
            .with_crls(lists(path)?)
            .only_check_end_entity_revocation()
            .enforce_revocation_expiration();
    }
    builder.build().map_err(|error| bad(error.to_string()))
}

/// Reads the lists of a PEM file, at least one.
fn lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let (origin, text) = pem::read(path)?;
    let bad = |problem: String| TlsError::BadPem {
        origin: origin.clone(),
        problem,
    };
    let lists = CertificateRevocationListDer::pem_slice_iter(&text);
    let lists: Result<Vec<_>, _> = lists.collect();
    let lists = lists.map_err(|error| bad(error.to_string()))?;
    match lists.is_empty() {
        true => Err(bad("it has no section BEGIN X509 CRL".into())),
        false => Ok(lists),
    }
}
