//! The certificate that the program's server presents.

use anyhow::Result;
use qsse_auth::files::Content;
use qsse_server::transport::tls::{Fingerprint, ServerTls, TlsError, dev_cert};

use crate::commands::cert::expiry;
use crate::exit::{usage, usage_because};
use crate::settings::Settings;

/// The certificate that the server presents.
pub(crate) struct Certificate {
    pub(crate) tls: ServerTls,
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Whether it is the development certificate, which clients on this machine trust by default.
    is_development: bool,
}

impl Certificate {
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self> {
        let given = certificate(settings)?;
        let is_development = given.is_none();
        let tls = match given {
            Some(tls) => tls,
            None => with_clients(settings, ServerTls::dev_cert().map_err(unusable)?)?,
        };
        let fingerprint = tls.fingerprint();
        Ok(Self {
            tls,
            fingerprint,
            is_development,
        })
    }

    pub(crate) fn describe(&self) -> String {
        let Some(fingerprint) = self.fingerprint else {
            return String::new();
        };
        let mut out = format!("fingerprint  {fingerprint}\n");
        if let Some(path) = self.kept_at() {
            let expires = expiry(&path).unwrap_or_default();
            out.push_str(&format!(
                "certificate  {}, for development, until {expires}\n",
                path.display()
            ));
        } else if self.is_development {
            out.push_str("certificate  in memory: it changes with each start\n");
        }
        out
    }

    /// Returns the file of the development certificate, if it contains this one.
    pub(crate) fn kept_at(&self) -> Option<std::path::PathBuf> {
        let kept = self.is_development && dev_cert::fingerprint() == self.fingerprint;
        dev_cert::path().filter(|_| kept)
    }
}

/// Loads the certificate and key that the settings name; `None` if they name none.
///
/// # Errors
/// A file cannot be read, or the two do not belong together.
pub(crate) fn certificate(settings: &Settings) -> Result<Option<ServerTls>> {
    let (cert, key) = match (settings.text("cert"), settings.text("key")) {
        ("", "") => return Ok(None),
        // One file may contain both.
        (cert, "") => (cert, cert),
        ("", _) => return Err(usage("--key without --cert: give both")),
        both => both,
    };
    let tls = ServerTls::pem_files(cert, key).map_err(unusable)?;
    check("certificate", cert, Content::Public)?;
    check("private key", key, Content::Secret)?;
    with_clients(settings, tls).map(Some)
}

/// Returns what a reload sets: `None` if the certificate stays as it is.
///
/// # Errors
/// Those of [`certificate`].
pub(crate) fn reloaded(settings: &Settings) -> Result<Option<ServerTls>> {
    match certificate(settings)? {
        None if settings.is_set("mtls_ca") => {
            let own = ServerTls::dev_cert().map_err(unusable)?;
            with_clients(settings, own).map(Some)
        }
        given => Ok(given),
    }
}

/// Asks clients for certificates, if the settings say so. They may come without one if there is
/// another way to show who they are.
fn with_clients(settings: &Settings, tls: ServerTls) -> Result<ServerTls> {
    let (ca, crl) = (settings.text("mtls_ca"), settings.text("mtls_crl"));
    if ca.is_empty() {
        return Ok(tls);
    }
    check("file of client authorities", ca, Content::Public)?;
    if !crl.is_empty() {
        check("list of revoked certificates", crl, Content::Public)?;
    }
    let crl = (!crl.is_empty()).then_some(crl.as_ref());
    let tls = tls.with_client_certificates(ca, crl);
    tls.map_err(|error| usage_because("cannot ask clients for certificates", error))
}

fn check(what: &'static str, path: &str, content: Content) -> Result<()> {
    let checked = qsse_auth::files::check(what, path.as_ref(), content);
    checked.map_err(|error| usage(error.to_string()))
}

fn unusable(error: TlsError) -> anyhow::Error {
    usage_because("cannot use the certificate", error)
}
