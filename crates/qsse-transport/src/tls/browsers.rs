//! [`Browsers`]: the certificates of a server's own that browsers accept.
//!
//! WebTransport lets a page name the hashes of the certificates that it trusts. Browsers then ask
//! for ECDSA and at most 14 days of validity. Native clients pin or remember the development
//! certificate, which is valid for years. So a client that speaks HTTP/3 gets another certificate,
//! with the same key. There are always two: the one in use, and the next one, so that a page that
//! has read both hashes can connect for at least five days more.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use qsse_proto::H3_ALPN;
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};

use super::pem::Identity;
use super::private_file::publish;
use super::self_signed;
use crate::error::TlsError;
use crate::fingerprint::Fingerprint;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long a certificate is used. The next one is made when it begins.
const USED: Duration = Duration::from_secs(5 * 24 * 3600);

/// How long a certificate is valid after it was made: for the time before it is used, that of its
/// use, and two days in case that clocks differ. With a day before, it has 13.
const LIFETIME: Duration = Duration::from_secs(12 * 24 * 3600);

/// The line before each of these certificates in the file, followed by the time from which it is
/// used, in seconds since 1970.
const USED_FROM: &str = "# for browsers, used from (Unix time): ";

/// The certificates for browsers of one server. They renew themselves.
pub(super) struct Browsers {
    names: Vec<String>,
    key: KeyPair,
    signing: Arc<dyn SigningKey>,
    /// The file, and what it begins with.
    file: Option<(PathBuf, String)>,
    pair: Mutex<Arc<Pair>>,
}

#[derive(Debug)]
struct Pair {
    current: Short,
    next: Short,
}

/// A certificate that is valid for a short time.
#[derive(Clone, Debug)]
struct Short {
    used_from: Duration,
    pem: String,
    certified: Arc<CertifiedKey>,
}

impl Browsers {
    /// Creates the certificates of a server whose own, with its key, is `identity`, and the
    /// beginning of `text`. Those that follow it in `text` are used if it is their time. With
    /// `file`, new ones are stored there.
    pub(super) fn new(
        names: Vec<String>,
        text: &str,
        identity: &Identity,
        file: Option<PathBuf>,
    ) -> Result<Self, TlsError> {
        Self::at(now(), names, text, identity, file)
    }

    fn at(
        now: Duration,
        names: Vec<String>,
        text: &str,
        identity: &Identity,
        file: Option<PathBuf>,
    ) -> Result<Self, TlsError> {
        let own = own_part(text);
        let signing = Arc::clone(&identity.certified.key);
        let key = KeyPair::try_from(identity.key.secret_der());
        let key = key.map_err(|error| TlsError::SelfSigned(error.to_string()))?;
        let stored = Pair::parse(text, &signing).filter(|pair| pair.is_for(now));
        let is_new = stored.is_none();
        let pair = match stored {
            Some(stored) => stored,
            None => Pair::made(now, &names, &key, &signing)?,
        };
        let browsers = Self {
            names,
            key,
            signing,
            file: file.map(|path| (path, own.to_owned())),
            pair: Mutex::new(Arc::new(pair)),
        };
        if is_new {
            browsers.store(&browsers.pair(now));
        }
        Ok(browsers)
    }

    /// Returns the fingerprints of the certificate in use and of the next one.
    pub(super) fn fingerprints(&self) -> Vec<Fingerprint> {
        self.fingerprints_at(now())
    }

    fn fingerprints_at(&self, now: Duration) -> Vec<Fingerprint> {
        let pair = self.pair(now);
        let both = [&pair.current, &pair.next].into_iter();
        let leaves = both.filter_map(|short| short.certified.cert.first());
        leaves.map(|leaf| Fingerprint::of(leaf)).collect()
    }

    /// Returns the certificates, after those that are due were renewed.
    fn pair(&self, now: Duration) -> Arc<Pair> {
        let mut pair = self.pair.lock().unwrap_or_else(PoisonError::into_inner);
        if !pair.is_for(now) {
            match self.renewed(&pair, now) {
                Ok(renewed) => *pair = Arc::new(renewed),
                Err(error) => tracing::error!(%error, "a certificate for browsers cannot be made"),
            }
        }
        Arc::clone(&pair)
    }

    fn renewed(&self, old: &Pair, now: Duration) -> Result<Pair, TlsError> {
        // Another server of this user may have stored newer ones.
        if let Some((path, own)) = &self.file
            && let Ok(text) = fs::read_to_string(path)
            && own_part(&text) == own
            && let Some(stored) = Pair::parse(&text, &self.signing)
            && stored.is_for(now)
        {
            return Ok(stored);
        }
        let (names, key, signing) = (&self.names, &self.key, &self.signing);
        let renewed = match old.next.is_for(now) {
            true => Pair {
                current: old.next.clone(),
                next: Short::made(now, old.next.used_from + USED, names, key, signing)?,
            },
            false => Pair::made(now, names, key, signing)?,
        };
        self.store(&renewed);
        Ok(renewed)
    }

    /// Stores the certificates behind the one that the file begins with, unless that has changed.
    fn store(&self, pair: &Pair) {
        let Some((path, own)) = &self.file else {
            return;
        };
        let stored = fs::read_to_string(path).and_then(|text| match own_part(&text) == own {
            true => publish(path, &format!("{own}{}", pair.to_text()), true),
            false => Ok(()),
        });
        if let Err(error) = stored {
            tracing::warn!(
                path = %path.display(), %error,
                "the certificates for browsers cannot be stored, so pages must read new hashes \
                 after each start"
            );
        }
    }
}

impl Pair {
    fn made(
        now: Duration,
        names: &[String],
        key: &KeyPair,
        signing: &Arc<dyn SigningKey>,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            current: Short::made(now, now, names, key, signing)?,
            next: Short::made(now, now + USED, names, key, signing)?,
        })
    }

    /// Returns whether nothing is due: the first one is in use.
    fn is_for(&self, now: Duration) -> bool {
        self.current.is_for(now) && now < self.next.used_from
    }

    fn to_text(&self) -> String {
        let text = |short: &Short| {
            let used_from = short.used_from.as_secs();
            format!("{USED_FROM}{used_from}\n{}", short.pem)
        };
        text(&self.current) + &text(&self.next)
    }

    fn parse(text: &str, signing: &Arc<dyn SigningKey>) -> Option<Self> {
        let mut parts = text.split(USED_FROM).skip(1).map(|part| {
            let (used_from, pem) = part.split_once('\n')?;
            let used_from = Duration::from_secs(used_from.trim().parse().ok()?);
            Short::new(used_from, pem.into(), signing)
        });
        let (current, next) = (parts.next()??, parts.next()??);
        Some(Self { current, next })
    }
}

impl Short {
    fn made(
        now: Duration,
        used_from: Duration,
        names: &[String],
        key: &KeyPair,
        signing: &Arc<dyn SigningKey>,
    ) -> Result<Self, TlsError> {
        let pem = self_signed::certificate(names, key, now, LIFETIME)?;
        let made = Self::new(used_from, pem, signing);
        made.ok_or_else(|| TlsError::SelfSigned("it cannot be read again".into()))
    }

    /// Returns `None` if `pem` has no certificate of this key.
    fn new(used_from: Duration, pem: String, signing: &Arc<dyn SigningKey>) -> Option<Self> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let certified = CertifiedKey::new(vec![certificate], Arc::clone(signing));
        certified.keys_match().ok()?;
        Some(Self {
            used_from,
            pem,
            certified: Arc::new(certified),
        })
    }

    /// Returns whether it is the time of its use, with a day before: clocks are set back.
    fn is_for(&self, now: Duration) -> bool {
        self.used_from <= now + DAY && now < self.used_from + USED
    }
}

impl fmt::Debug for Browsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browsers").finish_non_exhaustive()
    }
}

/// Presents the certificate that a client can use.
#[derive(Debug)]
pub(super) struct ByProtocol {
    pub(super) own: Arc<CertifiedKey>,
    pub(super) browsers: Arc<Browsers>,
}

impl ResolvesServerCert for ByProtocol {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut offered = hello.alpn().into_iter().flatten();
        let is_browser = offered.next() == Some(H3_ALPN);
        Some(match is_browser {
            true => Arc::clone(&self.browsers.pair(now()).current.certified),
            false => Arc::clone(&self.own),
        })
    }
}

/// Returns what comes before the certificates for browsers.
pub(super) fn own_part(text: &str) -> &str {
    let end = text.find(USED_FROM).unwrap_or(text.len());
    &text[..end]
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::pem;
    use crate::tls::self_signed::BACKDATED;

    const NOW: Duration = Duration::from_secs(2_000_000_000);

    fn load(now: Duration, file: &std::path::Path) -> Browsers {
        let text = fs::read_to_string(file).unwrap();
        let identity = pem::identity_in(own_part(&text).as_bytes()).unwrap();
        Browsers::at(now, Vec::new(), &text, &identity, Some(file.into())).unwrap()
    }

    #[test]
    fn a_page_that_has_read_both_hashes_can_connect_for_five_days_more() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.pem");
        fs::write(&file, self_signed::make(&[]).unwrap()).unwrap();
        let browsers = load(NOW, &file);
        let mut read = browsers.fingerprints_at(NOW);
        for hours in 0..24 * 100 {
            let now = NOW + Duration::from_secs(3_600) * hours;
            let both = browsers.fingerprints_at(now);
            assert!(read.contains(&both[0]), "after {hours} hours");
            // A restart changes nothing, nor does another server of this user.
            if hours % 7 == 0 {
                assert_eq!(load(now, &file).fingerprints_at(now), both);
            }
            if hours % (5 * 24) == 0 {
                read = both;
            }
        }
        // A long pause: both are too old.
        let later = NOW + DAY * 200;
        let both = load(later, &file).fingerprints_at(later);
        assert!(!read.contains(&both[0]) && !read.contains(&both[1]));
        assert_eq!(browsers.fingerprints_at(later), both);
    }

    #[test]
    fn they_are_valid_for_less_than_14_days_and_as_long_as_they_are_used() {
        assert!(LIFETIME + BACKDATED < DAY * 14);
        assert!(USED * 2 + DAY * 2 <= LIFETIME);
    }
}
