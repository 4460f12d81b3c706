//! Servers of several shards: to their clients they are one.
#![cfg(all(feature = "self-signed", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use qsse_proto::Code;
use qsse_transport::tls::{ClientTls, ServerTls};
use qsse_transport::{
    BindError, ClientEndpoint, ConnectError, Connection, ConnectionError, ServerEndpoint,
    TransportConfig,
};
use socket2::{Domain, Socket, Type};
use support::{PATIENCE, Threads, loopback, soon, until};
use tokio::runtime::Handle;

mod support;

fn bind(threads: &Threads, tls: &ServerTls, config: &TransportConfig) -> ServerEndpoint {
    ServerEndpoint::bind_shards(loopback(), &threads.handles, tls, config).unwrap()
}

async fn connect(
    client: &ClientEndpoint,
    server: SocketAddr,
    tls: &ClientTls,
) -> Result<Connection, ConnectError> {
    // Only a lost connection could end it while a test waits.
    let config = TransportConfig::client().idle_timeout(PATIENCE * 10);
    let attempt = client.connect(server, "localhost", tls, &config);
    soon("an answer", attempt).await
}

/// Serves each client on its shard: sends back what comes. Counts the clients of each.
fn echo(server: &ServerEndpoint) -> Arc<Mutex<HashMap<String, usize>>> {
    let shards: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let (server, served) = (server.clone(), shards.clone());
    tokio::spawn(async move {
        while let Some(handshake) = server.accept().await {
            let runtime = handshake.runtime().clone();
            let served = served.clone();
            runtime.spawn(async move {
                let Ok(connection) = handshake.complete().await else {
                    return;
                };
                let shard = Handle::current().id().to_string();
                *served.lock().unwrap().entry(shard).or_default() += 1;
                while let Ok((mut send, mut recv)) = connection.accept_bi().await {
                    while let Ok(Some(chunk)) = recv.read_chunk().await {
                        if send.write_all(&mut [chunk]).await.is_err() {
                            return;
                        }
                    }
                    send.finish();
                }
            });
        }
    });
    shards
}

/// Sends this many bytes and has them sent back.
async fn round_trip(connection: &Connection, bytes: usize) {
    let (mut send, mut recv) = soon("a stream", connection.open_bi()).await.unwrap();
    let writing = tokio::spawn(async move {
        let mut data = [Bytes::from(vec![7; bytes])];
        send.write_all(&mut data).await.unwrap();
        send.finish();
    });
    let mut back = 0;
    while let Some(chunk) = soon("an echo", recv.read_chunk()).await.unwrap() {
        back += chunk.len();
    }
    assert_eq!(back, bytes);
    writing.await.unwrap();
}

#[tokio::test]
async fn every_connection_stays_on_a_shard_and_all_shards_serve() {
    for count in [1, 2, 3] {
        let (server_tls, client_tls) = support::tls();
        let threads = Threads::start(count);
        let server = bind(&threads, &server_tls, &TransportConfig::server());
        assert_eq!(server.shards(), count);
        let shards = echo(&server);
        // Several connections of one socket come from one address, and still go to all shards.
        let one = ClientEndpoint::bind(loopback()).unwrap();
        let mut connections = Vec::new();
        for number in 0..60 {
            let other = ClientEndpoint::bind(loopback()).unwrap();
            let client = if number % 2 == 0 { &one } else { &other };
            let connection = connect(client, server.local_addr(), &client_tls).await;
            connections.push(connection.unwrap());
        }
        for connection in &connections {
            round_trip(connection, 100_000).await;
        }
        let lost = connections.iter().find_map(Connection::close_reason);
        assert_eq!(lost, None);
        let served = shards.lock().unwrap();
        // That one of three gets none of 60 happens once in ten thousand million runs.
        assert_eq!(served.len(), count, "{served:?}");
        assert_eq!(served.values().sum::<usize>(), 60);
        let stats = server.stats();
        assert_eq!((stats.open_connections, stats.completed), (60, 60));
    }
}

/// Passes datagrams on in both directions, from another port whenever it is told to: what a router
/// does that forgets its clients.
struct Router {
    entrance: SocketAddr,
    moves: Arc<AtomicBool>,
}

impl Router {
    fn before(server: SocketAddr) -> Self {
        let inside = UdpSocket::bind(loopback()).unwrap();
        let entrance = inside.local_addr().unwrap();
        let moves = Arc::new(AtomicBool::new(false));
        let (inside, asked) = (Arc::new(inside), moves.clone());
        let from_server: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        std::thread::spawn(move || {
            let mut outside = Self::outside(server, &inside, &from_server);
            let mut packet = [0; 65_536];
            while let Ok((length, client)) = inside.recv_from(&mut packet) {
                *from_server.lock().unwrap() = Some(client);
                if asked.swap(false, Relaxed) {
                    outside = Self::outside(server, &inside, &from_server);
                }
                let _ = outside.send(&packet[..length]);
            }
        });
        Self { entrance, moves }
    }

    fn outside(
        server: SocketAddr,
        inside: &Arc<UdpSocket>,
        client: &Arc<Mutex<Option<SocketAddr>>>,
    ) -> Arc<UdpSocket> {
        let outside = Arc::new(UdpSocket::bind(loopback()).unwrap());
        outside.connect(server).unwrap();
        let (inside, client, incoming) = (inside.clone(), client.clone(), outside.clone());
        std::thread::spawn(move || {
            let mut packet = [0; 65_536];
            while let Ok(length) = incoming.recv(&mut packet) {
                let client = *client.lock().unwrap();
                let _ = inside.send_to(&packet[..length], client.unwrap());
            }
        });
        outside
    }

    /// Takes another port for what comes from the next datagram on.
    fn forget(&self) {
        self.moves.store(true, Relaxed);
    }
}

#[tokio::test]
async fn a_connection_outlives_changes_of_its_clients_address() {
    let (server_tls, client_tls) = support::tls();
    let threads = Threads::start(2);
    let server = bind(&threads, &server_tls, &TransportConfig::server());
    let shards = echo(&server);
    let router = Router::before(server.local_addr());
    let client = ClientEndpoint::bind(loopback()).unwrap();
    let connection = connect(&client, router.entrance, &client_tls)
        .await
        .unwrap();
    // Before the server has seen the end of the handshake, no address may change.
    round_trip(&connection, 20_000).await;
    // By address the system would have chosen the other shard for about half of them.
    for _ in 0..12 {
        router.forget();
        round_trip(&connection, 20_000).await;
    }
    assert_eq!(connection.close_reason(), None);
    assert_eq!(shards.lock().unwrap().values().sum::<usize>(), 1);
}

#[tokio::test]
async fn an_address_in_use_is_refused_whoever_has_it() {
    let (tls, _) = support::tls();
    let config = TransportConfig::server();
    let threads = Threads::start(2);
    let bind = |address, shards: usize| {
        ServerEndpoint::bind_shards(address, &threads.handles[..shards], &tls, &config)
    };
    for (first, second) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let first = bind(loopback(), first).unwrap();
        let error = bind(first.local_addr(), second).unwrap_err();
        assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
    }

    let foreign = |address: SocketAddr, share: bool| {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_reuse_port(share).unwrap();
        let bound = socket.bind(&address.into());
        bound.map(|()| UdpSocket::from(socket))
    };
    for share in [false, true] {
        let first = foreign(loopback(), share).unwrap();
        for shards in [1, 2] {
            let error = bind(first.local_addr().unwrap(), shards).unwrap_err();
            assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
        }
    }
    for shards in [1, 2] {
        let first = bind(loopback(), shards).unwrap();
        let second = foreign(first.local_addr(), false);
        assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    }
}

#[tokio::test]
async fn who_shares_the_address_later_gets_nothing() {
    let (server_tls, client_tls) = support::tls();
    let threads = Threads::start(2);
    let server = bind(&threads, &server_tls, &TransportConfig::server());
    echo(&server);
    let thief = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    thief.set_reuse_port(true).unwrap();
    thief.bind(&server.local_addr().into()).unwrap();
    let thief = UdpSocket::from(thief);
    thief.set_nonblocking(true).unwrap();
    for _ in 0..20 {
        let client = ClientEndpoint::bind(loopback()).unwrap();
        let connection = connect(&client, server.local_addr(), &client_tls).await;
        round_trip(&connection.unwrap(), 1_000).await;
    }
    let nothing = thief.recv(&mut [0; 2048]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn after_a_restart_clients_of_all_shards_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let load = || ServerTls::dev_cert_in(folder.path()).unwrap();
    let client_tls = ClientTls::pinned(load().fingerprint());
    let config = TransportConfig::client()
        .idle_timeout(PATIENCE * 10)
        .keep_alive(Duration::from_millis(100));
    // The number of shards may be another one than before.
    for (before, after) in [(2, 2), (1, 2), (3, 1)] {
        let mut threads = Threads::start(before);
        let server = bind(&threads, &load(), &TransportConfig::server());
        let address = server.local_addr();
        echo(&server);
        let mut connections = Vec::new();
        for _ in 0..10 {
            let client = ClientEndpoint::bind(loopback()).unwrap();
            let attempt = client.connect(address, "localhost", &client_tls, &config);
            connections.push(soon("a connection", attempt).await.unwrap());
        }
        // Without a word: its threads end before it could say any.
        (0..before).for_each(|_| threads.end(0));
        drop(server);
        let threads = Threads::start(after);
        let mut again = None;
        until("the port to be free", || {
            let (tls, config) = (load(), TransportConfig::server());
            again = ServerEndpoint::bind_shards(address, &threads.handles, &tls, &config).ok();
            again.is_some()
        })
        .await;
        for connection in connections {
            let told = soon("the reset", connection.closed()).await;
            assert_eq!(told, ConnectionError::Reset);
        }
    }
}

#[tokio::test]
async fn limits_are_those_of_all_shards_together() {
    let (server_tls, client_tls) = support::tls();
    let threads = Threads::start(2);
    let config = TransportConfig::server().max_connections(2);
    let server = bind(&threads, &server_tls, &config);
    echo(&server);
    let client = ClientEndpoint::bind(loopback()).unwrap();
    let address = server.local_addr();
    for round in 1..=8 {
        let first = connect(&client, address, &client_tls).await.unwrap();
        let second = connect(&client, address, &client_tls).await.unwrap();
        let error = connect(&client, address, &client_tls).await.unwrap_err();
        assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
        assert_eq!(server.stats().refused, round);
        first.close(Code::NO_ERROR, "");
        second.close(Code::NO_ERROR, "");
        until("both places", || server.stats().open_connections == 0).await;
    }
}

#[tokio::test]
async fn in_a_rush_clients_of_all_shards_prove_their_address_and_get_in() {
    let (server_tls, client_tls) = support::tls();
    let threads = Threads::start(2);
    let config = TransportConfig::server().max_handshakes(0);
    let server = bind(&threads, &server_tls, &config);
    let shards = echo(&server);
    for _ in 0..20 {
        let client = ClientEndpoint::bind(loopback()).unwrap();
        connect(&client, server.local_addr(), &client_tls)
            .await
            .unwrap();
    }
    until("the server's view of it", || server.stats().completed == 20).await;
    assert_eq!(server.stats().retried, 20);
    assert_eq!(shards.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn clients_of_all_shards_are_refused_and_told_of_the_end() {
    let (server_tls, client_tls) = support::tls();
    let threads = Threads::start(2);
    let server = bind(&threads, &server_tls, &TransportConfig::server());
    echo(&server);
    let client = ClientEndpoint::bind(loopback()).unwrap();
    let address = server.local_addr();
    let mut connections = Vec::new();
    for _ in 0..10 {
        connections.push(connect(&client, address, &client_tls).await.unwrap());
    }
    server.stop_accepting();
    for _ in 0..10 {
        let error = connect(&client, address, &client_tls).await.unwrap_err();
        assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    }
    server.close(Code::SHUTTING_DOWN, "done");
    soon("the farewell", server.wait_idle()).await;
    let expected = ConnectionError::Closed {
        code: Code::SHUTTING_DOWN,
        reason: "done".into(),
    };
    for connection in connections {
        assert_eq!(soon("the close", connection.closed()).await, expected);
    }
    assert_eq!(server.stats().open_connections, 0);
}

#[tokio::test]
async fn the_end_of_one_shard_is_the_end_of_accepting() {
    let (tls, _) = support::tls();
    let mut threads = Threads::start(3);
    let server = bind(&threads, &tls, &TransportConfig::server());
    let accepting = tokio::spawn(async move { server.accept().await.is_none() });
    tokio::task::yield_now().await;
    threads.end(1);
    assert!(soon("accept to end", accepting).await.unwrap());
}

#[tokio::test]
async fn numbers_of_shards_that_cannot_be_are_refused() {
    let (tls, _) = support::tls();
    let config = TransportConfig::server();
    for asked in [0, 65] {
        let runtimes = vec![Handle::current(); asked];
        let error = ServerEndpoint::bind_shards(loopback(), &runtimes, &tls, &config).unwrap_err();
        assert!(matches!(error, BindError::Shards { .. }), "{error:?}");
        let text = format!("1 to 64 shards, not {asked}");
        assert!(error.to_string().contains(&text), "{error}");
    }
}
