//! Endpoints on sockets of the caller's own, with seeds.
#![cfg(all(feature = "abstract-socket", feature = "self-signed"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use qsse_transport::{ClientEndpoint, ServerEndpoint, TransportConfig};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime};
use support::{loopback, soon};

mod support;

fn socket() -> Arc<dyn AsyncUdpSocket> {
    let socket = std::net::UdpSocket::bind(loopback()).unwrap();
    TokioRuntime.wrap_udp_socket(socket).unwrap()
}

#[tokio::test]
async fn seeded_endpoints_connect() {
    let (server_tls, client_tls) = support::tls();
    let config = TransportConfig::server();
    let server = ServerEndpoint::on_socket(socket(), &server_tls, &config, Some([1; 32])).unwrap();
    assert_eq!(server.udp_buffers(), None);
    let config = TransportConfig::client();
    let client = ClientEndpoint::on_socket(socket(), Some([2; 32])).unwrap();
    // The second while the first is open: a seed must not make their ids the same.
    let mut open = Vec::new();
    for _ in 0..2 {
        let (far, near) = soon("both ends", async {
            tokio::join!(
                async { server.accept().await.unwrap().complete().await.unwrap() },
                client.connect(server.local_addr(), "localhost", &client_tls, &config)
            )
        })
        .await;
        assert_eq!(far.remote_address(), client.local_addr());
        open.push((far, near.unwrap()));
    }
    assert!(
        open.iter()
            .all(|(far, near)| far.close_reason().or(near.close_reason()).is_none())
    );
}

#[tokio::test]
async fn without_a_seed_they_are_as_any_other() {
    let (server_tls, client_tls) = support::tls();
    let server =
        ServerEndpoint::on_socket(socket(), &server_tls, &TransportConfig::server(), None).unwrap();
    support::serve(&server);
    let client = ClientEndpoint::on_socket(socket(), None).unwrap();
    let config = TransportConfig::client();
    let connecting = client.connect(server.local_addr(), "localhost", &client_tls, &config);
    soon("a connection", connecting).await.unwrap();
}
