//! [`OrDevCert`]: trusts the development certificate in addition to others.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::{CertificateError, Error};

use super::fingerprints_of;
use crate::fingerprint::Fingerprint;
use crate::tls::verify::{Shown, Trust};

/// Trusts the development certificate, as it is at the time of the handshake, and what `others`
/// trusts.
#[derive(Debug)]
pub(in crate::tls) struct OrDevCert {
    path: Option<PathBuf>,
    others: Option<Arc<dyn ServerCertVerifier>>,
}

impl OrDevCert {
    /// Creates the trust in the development certificate at `path`.
    pub(in crate::tls) fn new(
        path: Option<PathBuf>,
        others: Option<Arc<dyn ServerCertVerifier>>,
    ) -> Self {
        Self { path, others }
    }
}

impl Trust for OrDevCert {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), Error> {
        // It is read here, not earlier: a server that started meanwhile may have made a new one.
        let development = self.path.as_deref().map(fingerprints_of);
        let shown_one = Fingerprint::of(shown.end_entity);
        if development.is_some_and(|these| these.contains(&shown_one)) {
            return Ok(());
        }
        match &self.others {
            Some(others) => shown.ask(&**others),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }
}
