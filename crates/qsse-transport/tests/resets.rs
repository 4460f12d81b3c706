//! Packets of connections that a server does not know: each is answered with a stateless reset.
#![cfg(feature = "self-signed")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::UdpSocket;

use qsse_transport::{ServerEndpoint, TransportConfig};
use support::{loopback, until};

mod support;

/// More than one read of the server's socket takes, so that some come together and some do not.
const CLIENTS: u8 = 100;

/// The shortest packet that a reset fits below: a byte, 4 random ones, and the token's 16.
const SHORTEST: usize = 22;

#[tokio::test]
async fn all_clients_that_ask_at_once_are_answered_and_with_less_than_they_sent() {
    let (tls, _) = support::tls();
    let server = ServerEndpoint::bind(loopback(), &tls, &TransportConfig::server()).unwrap();
    let send = |number: u8, length: usize| {
        let client = UdpSocket::bind(loopback()).unwrap();
        client.set_nonblocking(true).unwrap();
        // A short header, and an id of a connection that this server never had.
        let mut packet = vec![number; length];
        packet[0] = 0x40;
        client.send_to(&packet, server.local_addr()).unwrap();
        client
    };
    // Nothing is awaited in between: the server reads them only when all are there.
    let tiny = send(0, SHORTEST - 1);
    let mut waiting: Vec<_> = (0..CLIENTS)
        .map(|number| {
            (
                send(number, SHORTEST + usize::from(number)),
                SHORTEST + usize::from(number),
            )
        })
        .collect();
    until("a reset for each", || {
        let mut reply = [0; 1500];
        waiting.retain(|(client, sent)| match client.recv(&mut reply) {
            Ok(length) => {
                assert!(length < *sent, "{length} bytes for {sent}");
                false
            }
            Err(_) => true,
        });
        waiting.is_empty()
    })
    .await;
    // It was sent first, and answering it would be the beginning of a loop.
    assert!(tiny.recv(&mut [0; 1500]).is_err());
}
