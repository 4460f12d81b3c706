//! The certificates that a page may trust for WebTransport.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;

use common::{Hub, server};
use qsse_http::Config;
use qsse_server::ServerTls;

const PATH: &str = "/.well-known/qsse/certificate-hashes";

#[tokio::test]
async fn a_page_learns_the_hashes_of_certificates_that_the_server_has_made() {
    let hub = Hub::start().await;
    for mut client in hub.clients().await {
        let mut answer = client.get(PATH).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("cache-control"), "no-store");
        let json = answer.json().await;
        let hashes = json["hashes"].as_array().unwrap();
        assert_eq!(hashes.len(), 2);
        for hash in hashes {
            assert_eq!(hash["algorithm"], "sha-256");
            // 32 bytes in base64.
            assert_eq!(hash["value"].as_str().unwrap().len(), 44);
        }
    }
}

#[tokio::test]
async fn a_certificate_that_was_given_is_verified_by_browsers_themselves() {
    let made = another_pem();
    let tls = ServerTls::pem(made.as_bytes(), made.as_bytes()).unwrap();
    let hub = Hub::with(server().tls(tls), Config::default()).await;
    for mut client in hub.clients().await {
        let answer = client.get(PATH).await;
        assert_eq!(answer.status(), 404);
    }
}

/// A certificate with its key: that of another server, from its file.
fn another_pem() -> String {
    let folder = tempfile::tempdir().unwrap();
    ServerTls::dev_cert_in(folder.path()).unwrap();
    let path = qsse_server::transport::tls::dev_cert::path_in(folder.path());
    std::fs::read_to_string(path).unwrap()
}
