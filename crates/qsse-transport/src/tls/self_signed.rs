//! Self-signed certificates.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

use crate::error::TlsError;

/// How long a certificate made here is valid: long enough for development, but not for ever.
pub(super) const LIFETIME: Duration = Duration::from_secs(5 * 365 * 24 * 3600);

/// How far the clocks of two machines may differ.
pub(super) const BACKDATED: Duration = Duration::from_secs(24 * 3600);

/// The names that every certificate made here has.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Makes a certificate for this machine and `names`. Returns it and its key as one PEM text.
pub(super) fn make(names: &[String]) -> Result<String, TlsError> {
    let key = KeyPair::generate().map_err(refused)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let certificate = certificate(names, &key, now, LIFETIME)?;
    Ok(certificate + &key.serialize_pem())
}

/// Makes a certificate with this key that is valid from a day before `now`, and then for
/// `lifetime`. Returns it as PEM text.
pub(super) fn certificate(
    names: &[String],
    key: &KeyPair,
    now: Duration,
    lifetime: Duration,
) -> Result<String, TlsError> {
    let mut all: Vec<String> = LOCAL_NAMES.map(String::from).to_vec();
    for name in names {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    let mut params = CertificateParams::new(all).map_err(refused)?;
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + (now + lifetime);
    params
        .distinguished_name
        .push(DnType::CommonName, "qsse self-signed");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(key).map_err(refused)?;
    Ok(certificate.pem())
}

fn refused(error: rcgen::Error) -> TlsError {
    TlsError::SelfSigned(error.to_string())
}
