//! 0-RTT stays off, whatever a configuration that is handed in says: replayed bytes must not
//! publish twice.
#![cfg(feature = "self-signed")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt;
use std::sync::{Arc, Mutex};

use qsse_transport::rustls::client::Resumption;
use qsse_transport::rustls::server::ServerSessionMemoryCache;
use qsse_transport::rustls::{ClientConfig, KeyLog, RootCertStore, ServerConfig, version};
use qsse_transport::tls::{ClientTls, ServerTls, provider};
use qsse_transport::{ClientEndpoint, ServerEndpoint, TransportConfig};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use support::{loopback, serve, soon, until};

mod support;

/// Knows which secrets a handshake made: one for early data only when that was offered.
#[derive(Default)]
struct Secrets(Mutex<Vec<String>>);

impl Secrets {
    fn contains(&self, label: &str) -> bool {
        self.0.lock().unwrap().iter().any(|seen| seen == label)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, _client_random: &[u8], _secret: &[u8]) {
        self.0.lock().unwrap().push(label.to_owned());
    }
}

const EARLY: &str = "CLIENT_EARLY_TRAFFIC_SECRET";

/// Configurations of both sides that would like 0-RTT, as a program may hand them in.
fn eager() -> (ServerConfig, ClientConfig, Arc<Secrets>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();

    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            key.serialize_der().try_into().unwrap(),
        )
        .unwrap();
    server.max_early_data_size = u32::MAX;
    server.session_storage = ServerSessionMemoryCache::new(16);
    server.alpn_protocols = vec![qsse_proto::ALPN.to_vec()];

    let secrets = Arc::new(Secrets::default());
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_early_data = true;
    client.resumption = Resumption::in_memory_sessions(16);
    client.key_log = secrets.clone();
    client.alpn_protocols = vec![qsse_proto::ALPN.to_vec()];
    (server, client, secrets)
}

/// Connects twice with plain quinn; whether the second time it could send early data.
async fn quinn_client_sends_early(address: std::net::SocketAddr, config: ClientConfig) -> bool {
    let endpoint = quinn::Endpoint::client(loopback()).unwrap();
    let crypto = QuicClientConfig::try_from(config).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let first = endpoint
        .connect_with(config.clone(), address, "localhost")
        .unwrap();
    let first = soon("the first", first).await.unwrap();
    // The ticket comes with the server's first data; a stream's receipt proves that it has come.
    let mut stream = first.open_uni().await.unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.finish().unwrap();
    soon("the receipt", stream.stopped()).await.unwrap();
    first.close(0u32.into(), b"");
    let second = endpoint.connect_with(config, address, "localhost").unwrap();
    match second.into_0rtt() {
        Ok(_) => true,
        Err(second) => {
            soon("the second", second).await.unwrap();
            false
        }
    }
}

/// A plain quinn server that takes early data.
fn quinn_server(config: ServerConfig) -> quinn::Endpoint {
    let crypto = QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = quinn::Endpoint::server(config, loopback()).unwrap();
    let server = endpoint.clone();
    tokio::spawn(async move {
        while let Some(incoming) = server.accept().await {
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    connection.closed().await;
                }
            });
        }
    });
    endpoint
}

// QP-1.2: nothing is sent or accepted as 0-RTT data.
#[tokio::test]
async fn our_server_offers_none() {
    let (server_config, client_config, secrets) = eager();
    let tls = ServerTls::rustls(server_config).unwrap();
    let server = ServerEndpoint::bind(loopback(), &tls, &TransportConfig::server()).unwrap();
    serve(&server);
    assert!(!quinn_client_sends_early(server.local_addr(), client_config).await);
    assert!(!secrets.contains(EARLY));

    // The same client at a server that does offer it: the test would notice.
    let (server_config, client_config, secrets) = eager();
    let server = quinn_server(server_config);
    let address = server.local_addr().unwrap();
    assert!(quinn_client_sends_early(address, client_config).await);
    assert!(secrets.contains(EARLY));
}

#[tokio::test]
async fn our_client_sends_none() {
    let (server_config, client_config, secrets) = eager();
    let server = quinn_server(server_config);
    let tls = ClientTls::rustls(client_config).unwrap();
    let client = ClientEndpoint::bind(loopback()).unwrap();
    let config = TransportConfig::client();
    for _ in 0..3 {
        let address = server.local_addr().unwrap();
        let connecting = client.connect(address, "localhost", &tls, &config);
        let connection = soon("a connection", connecting).await.unwrap();
        let mut stream = connection.open_uni().await.unwrap();
        stream.write_all(&mut ["x".into()]).await.unwrap();
        stream.finish();
        soon("the receipt", stream.stopped()).await.unwrap();
    }
    until("the handshakes are logged", || {
        secrets.contains("CLIENT_TRAFFIC_SECRET_0")
    })
    .await;
    assert!(!secrets.contains(EARLY));
}
