//! [`Key`]: a key that checks signatures, for one algorithm.

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs as crypto;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use ring as crypto;

use crypto::hmac;
use crypto::signature::{self as sig, RsaPublicKeyComponents, UnparsedPublicKey};

use super::algorithm::{Algorithm, Family};
use crate::der::{self, Reader};

/// The least length of an RSA modulus in bytes: 2,048 bits.
const RSA_BYTES: usize = 256;

/// A key that checks signatures. It is for one algorithm, whatever a token says.
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    material: Material,
}

enum Material {
    Secret(Box<hmac::Key>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point of a curve: uncompressed, or the 32 bytes of Ed25519.
    Point(Vec<u8>),
}

impl Key {
    /// Returns whether whoever knows the key can also sign with it.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.material, Material::Secret(_))
    }

    /// Makes a key of a shared secret.
    pub(super) fn secret(secret: &[u8], algorithm: Algorithm) -> Result<Self, String> {
        let least = algorithm.secret_bytes();
        let hash = match algorithm {
            Algorithm::Hs256 => hmac::HMAC_SHA256,
            Algorithm::Hs384 => hmac::HMAC_SHA384,
            Algorithm::Hs512 => hmac::HMAC_SHA512,
            other => return Err(format!("a secret cannot be a key of {other}")),
        };
        if secret.len() < least {
            return Err(format!(
                "the secret has {} bytes, and {algorithm} needs at least {least}",
                secret.len()
            ));
        }
        let material = Material::Secret(Box::new(hmac::Key::new(hash, secret)));
        Ok(Self::of(algorithm, material))
    }

    /// Makes an RSA key of its modulus and exponent.
    pub(super) fn rsa(n: Vec<u8>, e: Vec<u8>, algorithm: Algorithm) -> Result<Self, String> {
        if algorithm.family() != Family::Rsa {
            return Err(format!("an RSA key cannot be a key of {algorithm}"));
        }
        let n = without_zeros(&n);
        let e = without_zeros(&e);
        if n.len() < RSA_BYTES {
            return Err(format!("an RSA key needs at least {} bits", RSA_BYTES * 8));
        }
        if e.is_empty() || e == [1] {
            return Err("the RSA key has no usable exponent".into());
        }
        let (n, e) = (n.to_vec(), e.to_vec());
        Ok(Self::of(algorithm, Material::Rsa { n, e }))
    }

    /// Makes a key of a point of the curve that the algorithm uses.
    pub(super) fn point(point: Vec<u8>, algorithm: Algorithm) -> Result<Self, String> {
        let len = match algorithm.family() {
            Family::P256 => 65,
            Family::P384 => 97,
            Family::Ed25519 => 32,
            _ => return Err(format!("this key cannot be a key of {algorithm}")),
        };
        if point.len() != len || (len != 32 && point[0] != 4) {
            return Err(format!("this is not a public key of {algorithm}"));
        }
        Ok(Self::of(algorithm, Material::Point(point)))
    }

    /// Makes a key of a `SubjectPublicKeyInfo`, as PEM and certificates contain it. Without an
    /// algorithm it is for the usual one of its kind.
    pub(super) fn public(spki: &[u8], algorithm: Option<Algorithm>) -> Result<Self, String> {
        let unreadable = || "the public key is damaged".to_owned();
        let (family, bytes) = public_key(spki).ok_or_else(unreadable)?;
        let family = family
            .ok_or("this kind of public key is not supported: use RSA, P-256, P-384 or Ed25519")?;
        let algorithm = algorithm.unwrap_or(family.usual());
        if algorithm.family() != family {
            return Err(format!("this key cannot be a key of {algorithm}"));
        }
        if family != Family::Rsa {
            return Self::point(bytes.to_vec(), algorithm);
        }
        let mut numbers = Reader::new(bytes).sequence().ok_or_else(unreadable)?;
        let mut number = || numbers.expect(der::INTEGER).ok_or_else(unreadable);
        let (n, e) = (number()?.to_vec(), number()?.to_vec());
        Self::rsa(n, e, algorithm)
    }

    /// Sets the id by which tokens name it.
    pub(super) fn named(mut self, id: Option<String>) -> Self {
        self.id = id;
        self
    }

    fn of(algorithm: Algorithm, material: Material) -> Self {
        Self {
            id: None,
            algorithm,
            material,
        }
    }

    /// Returns whether the key made this signature.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Rsa { n, e } => {
                let Some(padding) = rsa(self.algorithm) else {
                    return false;
                };
                let key = RsaPublicKeyComponents { n, e };
                key.verify(padding, message, signature).is_ok()
            }
            Material::Point(point) => {
                let key = match self.algorithm {
                    Algorithm::Es256 => UnparsedPublicKey::new(
                        &sig::ECDSA_P256_SHA256_FIXED as &dyn sig::VerificationAlgorithm,
                        point,
                    ),
                    Algorithm::Es384 => {
                        UnparsedPublicKey::new(&sig::ECDSA_P384_SHA384_FIXED, point)
                    }
                    Algorithm::EdDsa => UnparsedPublicKey::new(&sig::ED25519, point),
                    _ => return false,
                };
                key.verify(message, signature).is_ok()
            }
        }
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static sig::RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &sig::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &sig::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &sig::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &sig::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &sig::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &sig::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// Returns the kind and the bytes of the key in a `SubjectPublicKeyInfo`. The kind is `None` if it
/// is not supported.
fn public_key(spki: &[u8]) -> Option<(Option<Family>, &[u8])> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
    const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    let mut info = Reader::new(spki).sequence()?;
    let mut algorithm = info.sequence()?;
    let kind = algorithm.expect(der::OBJECT_ID)?;
    let curve = algorithm.next().map(|(_, content)| content);
    let bytes = der::whole_bytes(info.expect(der::BIT_STRING)?)?;
    let family = match (kind, curve) {
        (RSA, _) => Some(Family::Rsa),
        (EC, Some(P256)) => Some(Family::P256),
        (EC, Some(P384)) => Some(Family::P384),
        (ED25519, _) => Some(Family::Ed25519),
        _ => None,
    };
    Some((family, bytes))
}
