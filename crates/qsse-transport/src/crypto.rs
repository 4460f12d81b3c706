//! The crypto provider, random bytes, and the key of stateless resets.

use std::fmt;
use std::sync::{Arc, OnceLock};

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs::hmac;
use quinn_proto::crypto::{CryptoError, HmacKey};
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use ring::hmac;
use rustls::crypto::CryptoProvider;

/// Returns the provider that all configurations of this crate use: aws-lc-rs if both are compiled
/// in.
///
/// X25519 is the first key share, and none is post-quantum: that would make the ClientHello span
/// two packets. AES-128 comes before AES-256: on processors with instructions for both, it and its
/// SHA-256 are faster, which saves a tenth of a handshake.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    use backend::cipher_suite as suite;
    #[cfg(feature = "aws-lc-rs")]
    use rustls::crypto::aws_lc_rs as backend;
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    use rustls::crypto::ring as backend;

    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| {
            Arc::new(CryptoProvider {
                cipher_suites: vec![
                    suite::TLS13_AES_128_GCM_SHA256,
                    suite::TLS13_AES_256_GCM_SHA384,
                    suite::TLS13_CHACHA20_POLY1305_SHA256,
                ],
                kx_groups: vec![
                    backend::kx_group::X25519,
                    backend::kx_group::SECP256R1,
                    backend::kx_group::SECP384R1,
                ],
                ..backend::default_provider()
            })
        })
        .clone()
}

/// Returns `N` unpredictable bytes.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    provider()
        .secure_random
        .fill(&mut bytes)
        .expect("the operating system gives random bytes");
    bytes
}

/// Derives a 32-byte secret for one purpose from another secret. It cannot be reversed.
pub(crate) fn derive(secret: &[u8], purpose: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut derived = [0; 32];
    derived.copy_from_slice(hmac::sign(&key, purpose).as_ref());
    derived
}

/// Signs the tokens of stateless resets.
///
/// A restarted server that has the same key can tell earlier clients at once that their connection
/// is gone. With another key they would wait for their idle timeout.
pub(crate) struct ResetKey(hmac::Key);

impl ResetKey {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        signature.copy_from_slice(hmac::sign(&self.0, data).as_ref());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        hmac::verify(&self.0, data, signature).map_err(|_| CryptoError)
    }
}

impl fmt::Debug for ResetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetKey(…)")
    }
}
