//! Limits at the door: deadlines, Retry, refusals, and a server that takes no more.
#![cfg(feature = "self-signed")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use qsse_proto::Code;
use qsse_transport::tls::ClientTls;
use qsse_transport::{
    ClientEndpoint, ConnectError, Connection, ConnectionError, HandshakeError, ServerEndpoint,
    TransportConfig,
};
use support::{loopback, serve, soon, until};

mod support;

fn server(config: TransportConfig) -> (ServerEndpoint, ClientTls) {
    let (server_tls, client_tls) = support::tls();
    let server = ServerEndpoint::bind(loopback(), &server_tls, &config).unwrap();
    (server, client_tls)
}

async fn connect(server: &ServerEndpoint, tls: &ClientTls) -> Result<Connection, ConnectError> {
    let client = ClientEndpoint::bind(loopback()).unwrap();
    let config = TransportConfig::client();
    let attempt = client.connect(server.local_addr(), "localhost", tls, &config);
    soon("an answer", attempt).await
}

/// Sends a client's first packets to the server, and none of what comes back: a client that never
/// finishes its handshake.
fn stalled_client(server: SocketAddr, tls: &ClientTls) {
    stalled_client_at(loopback(), server, tls);
}

/// Does the same from this address.
fn stalled_client_at(address: SocketAddr, server: SocketAddr, tls: &ClientTls) {
    let relay = UdpSocket::bind(address).unwrap();
    let entrance = relay.local_addr().unwrap();
    let tls = tls.clone();
    tokio::spawn(async move {
        let client = ClientEndpoint::bind(address).unwrap();
        let config = TransportConfig::client();
        let _ = client.connect(entrance, "localhost", &tls, &config).await;
    });
    std::thread::spawn(move || {
        let mut packet = [0; 2048];
        if let Ok((length, _)) = relay.recv_from(&mut packet) {
            relay.send_to(&packet[..length], server).unwrap();
        }
        // Open until the test ends, so that nothing comes back to either side.
        std::thread::park();
    });
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let deadline = Duration::from_millis(300);
    let (server, tls) = server(TransportConfig::server().handshake_timeout(deadline));
    stalled_client(server.local_addr(), &tls);
    let handshake = soon("the client", server.accept()).await.unwrap();
    assert!(handshake.remote_address().ip().is_loopback());
    assert_eq!(server.stats().handshakes_in_flight, 1);
    let error = soon("the deadline", handshake.complete())
        .await
        .unwrap_err();
    assert_eq!(error, HandshakeError::TimedOut);
    let stats = server.stats();
    assert_eq!(
        (stats.handshakes_in_flight, stats.failed, stats.completed),
        (0, 1, 0)
    );
    assert_eq!(stats.timed_out, 1);
    until("its state is gone", || server.stats().open_connections == 0).await;
}

#[tokio::test]
async fn waiting_for_one_handshake_holds_up_no_other() {
    let (server, tls) = server(TransportConfig::server());
    stalled_client(server.local_addr(), &tls);
    let stalled = soon("the client", server.accept()).await.unwrap();
    let stalled = tokio::spawn(stalled.complete());
    serve(&server);
    connect(&server, &tls).await.unwrap();
    assert!(!stalled.is_finished());
    stalled.abort();
    until("its place is free", || {
        server.stats().handshakes_in_flight == 0
    })
    .await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_places_come_back() {
    let (server, tls) = server(TransportConfig::server().max_connections(2));
    serve(&server);
    for round in 1..=5 {
        let first = connect(&server, &tls).await.unwrap();
        let _second = connect(&server, &tls).await.unwrap();
        let error = connect(&server, &tls).await.unwrap_err();
        assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
        assert!(error.is_retryable());
        assert_eq!(server.stats().refused, round);
        first.close(Code::NO_ERROR, "");
        drop(_second);
        until("both places", || server.stats().open_connections == 0).await;
    }
    let stats = server.stats();
    assert_eq!((stats.completed, stats.handshakes_in_flight), (10, 0));
}

#[tokio::test]
async fn a_handshake_dropped_by_the_server_is_a_refusal() {
    let (server, tls) = server(TransportConfig::server());
    let (connected, ()) = tokio::join!(connect(&server, &tls), async {
        drop(soon("the client", server.accept()).await.unwrap());
    });
    assert!(
        matches!(connected, Err(ConnectError::Refused { .. })),
        "{connected:?}"
    );
    let (connected, ()) = tokio::join!(connect(&server, &tls), async {
        soon("the client", server.accept()).await.unwrap().refuse();
    });
    assert!(
        matches!(connected, Err(ConnectError::Refused { .. })),
        "{connected:?}"
    );
    assert_eq!(server.stats().handshakes_in_flight, 0);
}

#[tokio::test]
async fn in_a_rush_clients_prove_their_address_first_and_get_in() {
    let (server, tls) = server(TransportConfig::server().max_handshakes(1).max_incoming(2));
    stalled_client(server.local_addr(), &tls);
    let stalled = soon("the client", server.accept()).await.unwrap();
    let _stalled = tokio::spawn(stalled.complete());
    serve(&server);
    until("the stalled one has begun", || {
        server.stats().open_connections == 1
    })
    .await;
    connect(&server, &tls).await.unwrap();
    assert_eq!(server.stats().retried, 1);
}

#[tokio::test]
async fn while_all_others_wait_for_their_turn_they_are_refused() {
    let (server, tls) = server(TransportConfig::server().max_handshakes(1).max_incoming(1));
    stalled_client(server.local_addr(), &tls);
    let _waiting = soon("the client", server.accept()).await.unwrap();
    serve(&server);
    let error = connect(&server, &tls).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    let stats = server.stats();
    assert_eq!((stats.retried, stats.refused_handshakes), (1, 1));
    assert_eq!((stats.refused, stats.displaced), (1, 0));
}

#[tokio::test]
async fn silent_clients_make_room_for_those_who_answer() {
    const PLACES: usize = 4;
    let config = TransportConfig::server()
        .max_handshakes(PLACES)
        .max_incoming(PLACES)
        .handshake_timeout(support::PATIENCE);
    let (server, tls) = server(config);
    let mut silent = Vec::new();
    for _ in 0..PLACES {
        stalled_client(server.local_addr(), &tls);
        let stalled = soon("the client", server.accept()).await.unwrap();
        silent.push(tokio::spawn(stalled.complete()));
    }
    serve(&server);
    // Refused as long as the others may still answer.
    let connected = soon("a place", async {
        loop {
            match connect(&server, &tls).await {
                Ok(connection) => break connection,
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
    });
    let _connected = connected.await;
    let stats = server.stats();
    assert_eq!((stats.displaced, stats.timed_out), (1, 0));
    let oldest = soon("its end", silent.remove(0)).await.unwrap();
    assert_eq!(oldest.unwrap_err(), HandshakeError::Displaced);
    assert!(silent.iter().all(|silent| !silent.is_finished()));
}

// Elsewhere loopback has one address.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_network_that_takes_most_places_makes_room_for_clients_of_others() {
    const PLACES: usize = 8;
    let config = TransportConfig::server()
        .max_handshakes(PLACES)
        .max_incoming(PLACES)
        .handshake_timeout(support::PATIENCE);
    let (server, tls) = server(config);
    let network = |number: u8| SocketAddr::from(([127, 0, number, 1], 0));
    let mut stalled = Vec::new();
    // The older ones are of other networks.
    for number in [1, 2, 3, 3, 3, 3, 3, 3] {
        stalled_client_at(network(number), server.local_addr(), &tls);
        let handshake = soon("the client", server.accept()).await.unwrap();
        stalled.push(tokio::spawn(handshake.complete()));
    }
    serve(&server);
    let client = ClientEndpoint::bind(network(4)).unwrap();
    let config = TransportConfig::client();
    let attempt = client.connect(server.local_addr(), "localhost", &tls, &config);
    let _connected = soon("a place", attempt).await.unwrap();
    assert_eq!(server.stats().displaced, 1);
    until("it has ended", || {
        stalled.iter().filter(|task| task.is_finished()).count() == 1
    })
    .await;
    assert!(stalled[..2].iter().all(|task| !task.is_finished()));
}

#[tokio::test]
async fn a_server_that_stops_accepting_refuses_and_lets_the_others_finish() {
    let (server, tls) = server(TransportConfig::server());
    let (far, near) = tokio::join!(
        async { server.accept().await.unwrap().complete().await.unwrap() },
        connect(&server, &tls)
    );
    let near = near.unwrap();
    let waiting = tokio::spawn({
        let server = server.clone();
        async move { server.accept().await.is_none() }
    });
    tokio::task::yield_now().await;
    server.stop_accepting();
    server.stop_accepting();
    assert!(soon("accept to end", waiting).await.unwrap());
    assert!(soon("accept to end", server.accept()).await.is_none());

    let error = connect(&server, &tls).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    let mut stream = soon("a stream", far.open_uni()).await.unwrap();
    stream.write_all(&mut ["last words".into()]).await.unwrap();
    stream.finish();
    let mut stream = soon("it", near.accept_uni()).await.unwrap();
    assert_eq!(
        soon("its data", stream.read_chunk())
            .await
            .unwrap()
            .unwrap(),
        "last words"
    );

    server.close(Code::SHUTTING_DOWN, "done");
    soon("the farewell", server.wait_idle()).await;
    let expected = ConnectionError::Closed {
        code: Code::SHUTTING_DOWN,
        reason: "done".into(),
    };
    assert_eq!(soon("the close", near.closed()).await, expected);
    assert_eq!(far.closed().await, ConnectionError::LocallyClosed);
}

#[tokio::test]
async fn two_hundred_clients_at_once_all_get_in() {
    let (server, tls) = server(TransportConfig::server().max_handshakes(10));
    serve(&server);
    let client = ClientEndpoint::bind(loopback()).unwrap();
    let config = TransportConfig::client().handshake_timeout(support::PATIENCE);
    let attempts: Vec<_> = (0..200)
        .map(|_| {
            let (client, tls, config) = (client.clone(), tls.clone(), config.clone());
            let address = server.local_addr();
            tokio::spawn(async move { client.connect(address, "localhost", &tls, &config).await })
        })
        .collect();
    let mut connections = Vec::new();
    for attempt in attempts {
        connections.push(soon("a connection", attempt).await.unwrap().unwrap());
    }
    until("the server's view of it", || {
        server.stats().completed == 200
    })
    .await;
    assert!(server.stats().retried > 0, "{:?}", server.stats());
    drop(connections);
    until("all places", || server.stats().open_connections == 0).await;
}

#[tokio::test]
async fn handshakes_begin_in_turn_and_let_others_run_between() {
    const CLIENTS: usize = 8;
    let (server, tls) = server(TransportConfig::server());
    let mut handshakes = Vec::new();
    for _ in 0..CLIENTS {
        stalled_client(server.local_addr(), &tls);
    }
    for _ in 0..CLIENTS {
        handshakes.push(soon("a client", server.accept()).await.unwrap());
    }
    assert_eq!(server.stats().open_connections, 0);
    let running: Vec<_> = handshakes
        .into_iter()
        .map(|handshake| tokio::spawn(handshake.complete()))
        .collect();
    // Whoever has something else to do on this thread sees them one by one.
    let mut begun = 0;
    soon("all of them", async {
        while begun < CLIENTS {
            tokio::task::yield_now().await;
            let now = server.stats().open_connections;
            assert!(now <= begun + 1, "from {begun} to {now} at once");
            begun = now;
        }
    })
    .await;
    running.iter().for_each(tokio::task::JoinHandle::abort);
}
