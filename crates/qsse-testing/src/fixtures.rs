//! A certificate with its key that never change, TLS settings made of them, and seeds.
//!
//! Ed25519, whose signatures are all of one length, so that a handshake has the same packets in
//! every run. The certificate signs itself, is for `localhost`, `sim`, 127.0.0.1 and ::1, and is
//! valid from 2020 to 2120. The key is public: never use it outside tests.

use qsse_transport::tls::{ClientTls, ServerTls};

use crate::rng::Rng;

/// The name under which [`client_tls`] accepts the certificate.
pub const SERVER_NAME: &str = "sim";

const CERTIFICATE: &str = include_str!("../fixtures/cert.pem");
const KEY: &str = include_str!("../fixtures/key.pem");

/// The certificate and its private key, in PEM.
pub fn ed25519_cert() -> (&'static str, &'static str) {
    (CERTIFICATE, KEY)
}

/// A server with that certificate.
pub fn server_tls() -> ServerTls {
    ServerTls::pem(CERTIFICATE.as_bytes(), KEY.as_bytes()).expect("the fixture is a good pair")
}

/// A client that accepts that certificate and no other.
pub fn client_tls() -> ClientTls {
    let fingerprint = server_tls()
        .fingerprint()
        .expect("the certificate is known");
    ClientTls::pinned([fingerprint])
}

/// The seed of the `n`th endpoint of a run with `seed`.
pub fn rng_seed(seed: u64, n: u64) -> [u8; 32] {
    let mut of_run = Rng::new(seed);
    let mut of_endpoint = Rng::new(of_run.next_u64() ^ n);
    let mut bytes = [0; 32];
    for word in bytes.chunks_exact_mut(8) {
        word.copy_from_slice(&of_endpoint.next_u64().to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_by_run_and_by_endpoint() {
        assert_eq!(rng_seed(1, 2), rng_seed(1, 2));
        assert_ne!(rng_seed(1, 2), rng_seed(1, 3));
        assert_ne!(rng_seed(1, 2), rng_seed(2, 2));
        assert_ne!(rng_seed(1, 2), rng_seed(2, 1));
    }
}
