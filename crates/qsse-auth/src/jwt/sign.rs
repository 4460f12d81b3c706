//! [`JwtSigner`]: makes JWTs.

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs as crypto;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use ring as crypto;

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crypto::hmac;
use crypto::rand::SystemRandom;
use crypto::signature::{self as sig, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use qsse_server::transport::rustls::pki_types::PrivatePkcs8KeyDer;
use qsse_server::transport::rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};

use super::algorithm::Algorithm;
use crate::error::SetupError;
use crate::files::{self, Content};

/// Makes JWTs, for tools and tests. It has one private key or secret, for one algorithm.
pub struct JwtSigner {
    algorithm: Algorithm,
    key: Private,
}

enum Private {
    Secret(Box<hmac::Key>),
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
    Ed(Box<Ed25519KeyPair>),
}

impl JwtSigner {
    /// Reads a private key in PEM form (PKCS#8), or otherwise a secret for HMAC, without white
    /// space around it. The algorithm is RS256, ES256, ES384, EdDSA or HS256, as it fits the key.
    ///
    /// # Errors
    /// The file cannot be read, [others may write it](crate::files), or contains no such key.
    pub fn key_file(path: impl AsRef<Path>) -> Result<Self, SetupError> {
        const KEY: &str = "JWT key";
        let path = path.as_ref();
        let text = files::read(KEY, path, Content::Secret)?;
        Self::key(&text).map_err(|problem| SetupError::in_file(KEY, path, problem))
    }

    fn key(text: &str) -> Result<Self, String> {
        if let Ok(key) = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()) {
            return Self::pkcs8(key.secret_pkcs8_der());
        }
        if text.contains("-----BEGIN ") {
            return Err(
                "there is no PRIVATE KEY in it: convert another form with `openssl pkcs8 -topk8 \
                 -nocrypt`"
                    .into(),
            );
        }
        let secret = text.trim().as_bytes();
        let algorithm = Algorithm::Hs256;
        if secret.len() < algorithm.secret_bytes() {
            let least = algorithm.secret_bytes();
            return Err(format!("a secret needs at least {least} bytes"));
        }
        let key = Private::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret)));
        Ok(Self { algorithm, key })
    }

    /// Takes a private key in PKCS#8 form. The algorithm is that of [`key_file`](Self::key_file).
    fn pkcs8(der: &[u8]) -> Result<Self, String> {
        let of = |algorithm, key| Ok(Self { algorithm, key });
        for (algorithm, curve) in [
            (Algorithm::Es256, &sig::ECDSA_P256_SHA256_FIXED_SIGNING),
            (Algorithm::Es384, &sig::ECDSA_P384_SHA384_FIXED_SIGNING),
        ] {
            #[cfg(feature = "aws-lc-rs")]
            let pair = EcdsaKeyPair::from_pkcs8(curve, der);
            #[cfg(not(feature = "aws-lc-rs"))]
            let pair = EcdsaKeyPair::from_pkcs8(curve, der, &SystemRandom::new());
            if let Ok(pair) = pair {
                return of(algorithm, Private::Ec(Box::new(pair)));
            }
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return of(Algorithm::EdDsa, Private::Ed(Box::new(pair)));
        }
        match RsaKeyPair::from_pkcs8(der) {
            Ok(pair) => of(Algorithm::Rs256, Private::Rsa(Box::new(pair))),
            Err(_) => Err(
                "this kind of private key is not supported: use RSA, P-256, P-384 or Ed25519"
                    .into(),
            ),
        }
    }

    /// Returns the algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Signs claims. `key_id` tells the receiver which key of a set it is.
    pub fn sign(&self, claims: &Map<String, Value>, key_id: Option<&str>) -> String {
        let mut header = json!({"alg": self.algorithm.name(), "typ": "JWT"});
        if let Some(id) = key_id {
            header["kid"] = id.into();
        }
        let claims = Value::Object(claims.clone());
        self.sign_parts(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// Signs a header and claims as they are, right or wrong.
    pub(super) fn sign_parts(&self, header: &[u8], claims: &[u8]) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = encode(&self.signature(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Private::Secret(key) => hmac::sign(key, message).as_ref().to_vec(),
            Private::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Private::Ec(pair) => {
                let signature = pair.sign(&random, message);
                let signature = signature.expect("the system gives random bytes");
                signature.as_ref().to_vec()
            }
            Private::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&sig::RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .expect("the buffer has the length of the modulus");
                signature
            }
        }
    }
}
