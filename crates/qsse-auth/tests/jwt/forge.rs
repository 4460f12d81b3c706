//! Makes JWTs, good and bad ones.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self as sig, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://id.example.org";

/// The keys of one party.
pub(crate) struct Keys {
    pub(crate) secret: Vec<u8>,
    pub(crate) rsa: RsaKeyPair,
    pub(crate) p256: EcdsaKeyPair,
    pub(crate) p384: EcdsaKeyPair,
    pub(crate) ed: Ed25519KeyPair,
}

impl Keys {
    pub(crate) fn new(seed: u8) -> Self {
        Self {
            secret: vec![seed; 64],
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            p256: EcdsaKeyPair::generate(&sig::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            p384: EcdsaKeyPair::generate(&sig::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
        }
    }

    /// The public key for an algorithm, as JWK.
    pub(crate) fn jwk(&self, algorithm: &str) -> Value {
        let mut jwk = match &algorithm[..2] {
            "HS" => json!({"kty": "oct", "k": b64(&self.secret)}),
            "RS" | "PS" => {
                let (n, e) = self.rsa_numbers();
                json!({"kty": "RSA", "n": b64(n), "e": b64(e)})
            }
            "ES" => {
                let (pair, curve) = match algorithm {
                    "ES256" => (&self.p256, "P-256"),
                    _ => (&self.p384, "P-384"),
                };
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "crv": curve, "x": b64(x), "y": b64(y)})
            }
            _ => json!({"kty": "OKP", "crv": "Ed25519", "x": b64(self.ed.public_key().as_ref())}),
        };
        jwk["alg"] = algorithm.into();
        jwk
    }

    /// Modulus and exponent, where PKCS#1 has them in a key of 2,048 bits.
    pub(crate) fn rsa_numbers(&self) -> (&[u8], &[u8]) {
        let der = self.rsa.public_key().as_ref();
        (&der[9..265], &der[267..])
    }

    /// The public keys in PEM form, with their names.
    pub(crate) fn pems(&self) -> [(&'static str, String); 4] {
        let pem = |der: PublicKeyX509Der<'_>| pem("PUBLIC KEY", der.as_ref());
        [
            ("RSA", pem(self.rsa.public_key().as_der().unwrap())),
            ("P-256", pem(self.p256.public_key().as_der().unwrap())),
            ("P-384", pem(self.p384.public_key().as_der().unwrap())),
            ("Ed25519", pem(self.ed.public_key().as_der().unwrap())),
        ]
    }

    pub(crate) fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let rsa = |padding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            let signed = self.rsa.sign(padding, &random, message, &mut signature);
            signed.unwrap();
            signature
        };
        match algorithm {
            "HS256" | "HS384" | "HS512" => hmac_of(algorithm, &self.secret, message),
            "RS256" => rsa(&sig::RSA_PKCS1_SHA256),
            "RS384" => rsa(&sig::RSA_PKCS1_SHA384),
            "RS512" => rsa(&sig::RSA_PKCS1_SHA512),
            "PS256" => rsa(&sig::RSA_PSS_SHA256),
            "PS384" => rsa(&sig::RSA_PSS_SHA384),
            "PS512" => rsa(&sig::RSA_PSS_SHA512),
            "ES256" => self.p256.sign(&random, message).unwrap().as_ref().into(),
            "ES384" => self.p384.sign(&random, message).unwrap().as_ref().into(),
            _ => self.ed.sign(message).as_ref().into(),
        }
    }

    /// Signs claims in the usual way.
    pub(crate) fn token(&self, algorithm: &str, claims: &Value) -> String {
        let header = json!({"alg": algorithm, "typ": "JWT"});
        self.token_with(algorithm, &header, claims)
    }

    /// Signs with a header of one's own.
    pub(crate) fn token_with(&self, algorithm: &str, header: &Value, claims: &Value) -> String {
        let (header, claims) = (header.to_string(), claims.to_string());
        self.raw(algorithm, header.as_bytes(), claims.as_bytes())
    }

    /// Signs any bytes.
    pub(crate) fn raw(&self, algorithm: &str, header: &[u8], claims: &[u8]) -> String {
        let message = format!("{}.{}", b64(header), b64(claims));
        let signature = self.signature(algorithm, message.as_bytes());
        format!("{message}.{}", b64(&signature))
    }
}

/// Signs with a secret.
pub(crate) fn with_secret(
    algorithm: &str,
    secret: &[u8],
    header: &Value,
    claims: &Value,
) -> String {
    let (header, claims) = (header.to_string(), claims.to_string());
    let message = format!("{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()));
    let signature = hmac_of(algorithm, secret, message.as_bytes());
    format!("{message}.{}", b64(&signature))
}

fn hmac_of(algorithm: &str, secret: &[u8], message: &[u8]) -> Vec<u8> {
    let hash = match algorithm {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    hmac::sign(&hmac::Key::new(hash, secret), message)
        .as_ref()
        .into()
}

pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|start| &text[start..(start + 64).min(text.len())])
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
