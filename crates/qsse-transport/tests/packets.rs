//! How large packets get.
#![cfg(all(feature = "self-signed", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use qsse_transport::{ClientEndpoint, ServerEndpoint, TransportConfig};
use support::{Pair, loopback, pair_with, soon, tls, until};
use tokio::net::UdpSocket;

mod support;

/// The payload of the largest packets that a connection with these settings comes to, with what the
/// loopback here can take in mind.
fn expected(max_mtu: u16) -> u16 {
    let device = std::fs::read_to_string("/sys/class/net/lo/mtu").unwrap();
    match device.trim().parse::<u32>().unwrap() {
        65_535.. => max_mtu,
        _ => max_mtu.min(1452),
    }
}

async fn reach(pair: &Pair, mtu: u16) {
    for connection in [&pair.near, &pair.far] {
        until("the largest packets", || connection.stats().mtu >= mtu).await;
        assert_eq!(connection.stats().mtu, mtu);
    }
}

#[tokio::test]
async fn packets_are_large_within_a_machine() {
    let (server, client) = (TransportConfig::server(), TransportConfig::client());
    let pair = pair_with(&server, &client).await;
    reach(&pair, expected(4000)).await;
}

#[tokio::test]
async fn a_server_that_wants_small_packets_gets_and_sends_those() {
    let server = TransportConfig::server().max_mtu(1400);
    let pair = pair_with(&server, &TransportConfig::client()).await;
    until("the server's largest", || pair.far.stats().mtu == 1400).await;
    assert!(pair.near.stats().mtu <= 1472, "{:?}", pair.near.stats());
}

#[tokio::test]
async fn what_is_handed_to_the_system_at_a_time_never_is_too_much() {
    let server = TransportConfig::server().max_mtu(u16::MAX);
    let client = TransportConfig::client().max_mtu(u16::MAX);
    let pair = pair_with(&server, &client).await;
    reach(&pair, expected(6500)).await;

    let sending = async {
        let mut stream = pair.far.open_uni().await.unwrap();
        for _ in 0..100 {
            stream
                .write_all(&mut [vec![7; 65_536].into()])
                .await
                .unwrap();
        }
        stream.finish();
    };
    let receiving = async {
        let (mut stream, mut bytes) = (pair.near.accept_uni().await.unwrap(), 0);
        while let Some(chunk) = stream.read_chunk().await.unwrap() {
            bytes += chunk.len();
        }
        bytes
    };
    let ((), bytes) = soon("all of it", async { tokio::join!(sending, receiving) }).await;
    assert_eq!(bytes, 100 * 65_536);
    // What is too long for the system is not sent, which shows as a loss: here that would be most
    // of it.
    let stats = pair.far.stats();
    assert!(stats.lost_packets * 4 < stats.sent_packets, "{stats:?}");
}

#[tokio::test]
async fn an_endpoint_for_a_server_takes_what_the_way_there_does() {
    let (server_tls, client_tls) = tls();
    let config = TransportConfig::client();
    let server = ServerEndpoint::bind(loopback(), &server_tls, &TransportConfig::server()).unwrap();
    let address = server.local_addr();
    for (client, mtu) in [
        (
            ClientEndpoint::bind_for(address, &config).unwrap(),
            expected(4000),
        ),
        // It could be for anywhere.
        (
            ClientEndpoint::bind("0.0.0.0:0".parse().unwrap()).unwrap(),
            1452,
        ),
    ] {
        let connecting = client.connect(address, "localhost", &client_tls, &config);
        let accepting = async { server.accept().await.unwrap().complete().await.unwrap() };
        let (near, far) = soon("a connection", async {
            tokio::join!(connecting, accepting)
        })
        .await;
        let near = near.unwrap();
        until("the client's largest", || near.stats().mtu == mtu).await;
        let limit = if mtu == 4000 { 4000 } else { 1472 };
        assert!(far.stats().mtu <= limit, "{:?}", far.stats());
    }
}

/// Hands on what one client and a server send each other, except packets above `limit` bytes.
async fn narrow_way(server: SocketAddr, limit: usize) -> SocketAddr {
    let (near, far) = (UdpSocket::bind(loopback()), UdpSocket::bind(loopback()));
    let (near, far) = (near.await.unwrap(), far.await.unwrap());
    let entrance = near.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut sent, mut answer, mut client) = ([0; 8192], [0; 8192], None);
        loop {
            tokio::select! {
                Ok((length, from)) = near.recv_from(&mut sent) => {
                    client = Some(from);
                    if length <= limit {
                        let _ = far.send_to(&sent[..length], server).await;
                    }
                }
                Ok((length, _)) = far.recv_from(&mut answer) => {
                    if let Some(client) = client.filter(|_| length <= limit) {
                        let _ = near.send_to(&answer[..length], client).await;
                    }
                }
            }
        }
    });
    entrance
}

#[tokio::test]
async fn where_the_largest_get_lost_those_in_the_middle_are_tried() {
    let (server_tls, client_tls) = tls();
    let usual = |config: TransportConfig| config.max_mtu(1452);
    let config = usual(TransportConfig::client());
    let server =
        ServerEndpoint::bind(loopback(), &server_tls, &usual(TransportConfig::server())).unwrap();
    let entrance = narrow_way(server.local_addr(), 1400).await;
    let client = ClientEndpoint::bind_with(loopback(), &config).unwrap();
    let connecting = client.connect(entrance, "localhost", &client_tls, &config);
    let accepting = async { server.accept().await.unwrap().complete().await.unwrap() };
    let (near, far) = soon("a connection", async {
        tokio::join!(connecting, accepting)
    })
    .await;
    let near = near.unwrap();
    for connection in [&near, &far] {
        until("the middle", || connection.stats().mtu == 1325).await;
    }
}
