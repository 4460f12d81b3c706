//! [`KeySet`]: the keys that check the signatures of JWTs.

use std::path::Path;

use qsse_server::transport::rustls::pki_types::pem::PemObject;
use qsse_server::transport::rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde::Deserialize;

use super::algorithm::{Algorithm, Family};
use super::key::Key;
use super::strict;
use crate::certificate;
use crate::error::SetupError;
use crate::files::{self, Content};

/// What a key set is called in messages.
const JWKS: &str = "JWKS";

/// Most keys of a set. Each may be tried for a token that names none.
const MAX_KEYS: usize = 64;

/// The keys that check the signatures of JWTs. Each is for one algorithm, so a token cannot choose
/// another.
pub struct KeySet(Vec<Key>);

/// A key of a JWKS.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

impl KeySet {
    /// Reads one key from a file: a public key or certificate in PEM form, or otherwise a secret
    /// for HMAC, without white space around it. Without an algorithm it is for RS256, ES256, ES384,
    /// EdDSA or HS256, as it fits the key.
    ///
    /// # Errors
    /// The file cannot be read, [others may write it](crate::files), or contains no such key. A
    /// secret must be as long as the hash: at least 32 bytes for HS256.
    pub fn key_file(
        path: impl AsRef<Path>,
        algorithm: Option<Algorithm>,
    ) -> Result<Self, SetupError> {
        const KEY: &str = "JWT key";
        let path = path.as_ref();
        // A public key is no secret, but a secret may be in its place.
        let text = files::read(KEY, path, Content::Public)?;
        if !text.contains("-----BEGIN ") {
            files::check(KEY, path, Content::Secret)?;
        }
        Self::key(&text, algorithm).map_err(|problem| SetupError::in_file(KEY, path, problem))
    }

    /// Makes a set of one key, from the text of a file.
    pub(super) fn key(text: &str, algorithm: Option<Algorithm>) -> Result<Self, String> {
        let key = if text.contains("PRIVATE KEY-----") {
            return Err(
                "it contains a private key, which a server does not need: give the public key, as \
                 `openssl pkey -pubout` prints it"
                    .into(),
            );
        } else if let Ok(spki) = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()) {
            Key::public(&spki, algorithm)?
        } else if let Ok(leaf) = CertificateDer::from_pem_slice(text.as_bytes()) {
            let spki = certificate::public_key(&leaf).ok_or("the certificate is damaged")?;
            Key::public(spki, algorithm)?
        } else if text.contains("-----BEGIN ") {
            return Err("there is no PUBLIC KEY or CERTIFICATE in it".into());
        } else {
            Key::secret(
                text.trim().as_bytes(),
                algorithm.unwrap_or(Algorithm::Hs256),
            )?
        };
        Ok(Self(vec![key]))
    }

    /// Reads a JSON Web Key Set. Keys that cannot check signatures are left out. A key without
    /// `alg` is for the algorithm that [`key_file`](Self::key_file) would use.
    ///
    /// # Errors
    /// It is no key set, contains a private key, or contains no key that can be used.
    pub fn jwks(json: &str) -> Result<Self, SetupError> {
        Self::parse_jwks(json.as_bytes(), true).map_err(SetupError::Problem)
    }

    /// Does the same as [`jwks`](Self::jwks), with a file.
    ///
    /// # Errors
    /// Those of `jwks`, or the file cannot be read, or [others may write it](crate::files).
    pub fn jwks_file(path: impl AsRef<Path>) -> Result<Self, SetupError> {
        let path = path.as_ref();
        let text = files::read(JWKS, path, Content::Public)?;
        let set = Self::parse_jwks(text.as_bytes(), true);
        let set = set.map_err(|problem| SetupError::in_file(JWKS, path, problem))?;
        if set.0.iter().any(Key::is_secret) {
            files::check(JWKS, path, Content::Secret)?;
        }
        Ok(set)
    }

    /// Parses a key set. Secrets are only allowed in files: what a URL gives out is no secret.
    pub(super) fn parse_jwks(json: &[u8], may_have_secrets: bool) -> Result<Self, String> {
        let set = strict::object(json).ok_or("it is not a JSON object with unique keys")?;
        let keys = set.get("keys").and_then(|keys| keys.as_array());
        let keys = keys.ok_or("it is no key set: it has no array `keys`")?;
        let mut all = Vec::new();
        for (i, value) in keys.iter().take(MAX_KEYS).enumerate() {
            let place = |problem: String| format!("key {}: {problem}", i + 1);
            let jwk = Jwk::deserialize(value).map_err(|_| place("it is no key".into()))?;
            if let Some(key) = jwk.key(may_have_secrets).map_err(place)? {
                all.push(key.named(jwk.kid));
            }
        }
        match (keys.len() > MAX_KEYS, all.is_empty()) {
            (true, _) => Err(format!("it has more than {MAX_KEYS} keys")),
            (_, true) => Err("it contains no key that can check signatures".into()),
            _ => Ok(Self(all)),
        }
    }

    /// Returns how many keys there are, at least one.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the keys that a token may be signed with: those of the id that it names, and those
    /// without an id. All, if it names none.
    pub(super) fn candidates<'s>(&'s self, id: Option<&'s str>) -> impl Iterator<Item = &'s Key> {
        self.0.iter().filter(move |key| match (id, &key.id) {
            (Some(named), Some(id)) => named == id,
            _ => true,
        })
    }
}

impl Jwk {
    /// Returns the key; `None` if it is not for signatures, or of a kind that is not supported.
    fn key(&self, may_be_secret: bool) -> Result<Option<Key>, String> {
        if self
            .purpose
            .as_deref()
            .is_some_and(|purpose| purpose != "sig")
        {
            return Ok(None);
        }
        let family = match (self.kty.as_str(), self.crv.as_deref()) {
            ("oct", _) => Family::Secret,
            ("RSA", _) => Family::Rsa,
            ("EC", Some("P-256")) => Family::P256,
            ("EC", Some("P-384")) => Family::P384,
            ("OKP", Some("Ed25519")) => Family::Ed25519,
            _ => return Ok(None),
        };
        let algorithm = match self.alg.as_deref().map(str::parse::<Algorithm>) {
            None => family.usual(),
            Some(Ok(algorithm)) if algorithm.family() == family => algorithm,
            Some(Ok(other)) => return Err(format!("its alg is {other}, which does not fit it")),
            // It is for something else, such as encryption.
            Some(Err(_)) => return Ok(None),
        };
        if self.d.is_some() {
            return Err("it is a private key: publish only public ones".into());
        }
        let key = match family {
            Family::Secret if !may_be_secret => {
                return Err("it is a secret, which is none at a URL".into());
            }
            Family::Secret => Key::secret(&bytes("k", &self.k)?, algorithm)?,
            Family::Rsa => Key::rsa(bytes("n", &self.n)?, bytes("e", &self.e)?, algorithm)?,
            Family::Ed25519 => Key::point(bytes("x", &self.x)?, algorithm)?,
            Family::P256 | Family::P384 => {
                let (x, y) = (bytes("x", &self.x)?, bytes("y", &self.y)?);
                if x.len() != y.len() {
                    return Err("its x and y have different lengths".into());
                }
                Key::point([&[4][..], &x, &y].concat(), algorithm)?
            }
        };
        Ok(Some(key))
    }
}

fn bytes(name: &str, text: &Option<String>) -> Result<Vec<u8>, String> {
    let decoded = text.as_deref().and_then(strict::base64);
    decoded.ok_or_else(|| format!("its {name} is missing, or is not base64url"))
}
