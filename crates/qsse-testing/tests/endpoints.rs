//! qsse endpoints over the network: loss is made good, runs repeat, partitions heal.

use std::time::Duration;

use bytes::Bytes;
use qsse_proto::Code;
use qsse_testing::{Conditions, Network, endpoints};
use qsse_transport::{ClientEndpoint, Connection, ConnectionError, ServerEndpoint};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

/// One message of a transfer: its number.
const MESSAGE_BYTES: usize = 4;

/// Makes a server with one client and connects them.
async fn connected(network: &Network) -> (ServerEndpoint, Connection, Connection) {
    let server = endpoints::server(network).expect("an endpoint");
    let client = endpoints::client(network, 1).expect("an endpoint");
    let (accepted, connected) = tokio::join!(
        biased;
        async { server.accept().await.expect("open").complete().await },
        endpoints::connect(&client),
    );
    (
        server,
        accepted.expect("accepted"),
        connected.expect("connected"),
    )
}

/// Sends `count` messages, one every 2 ms, and returns what arrives before the stream's end.
async fn transfer(from: &Connection, to: &Connection, count: u32) -> Vec<u32> {
    let send = async {
        let mut stream = from.open_uni().await.expect("a stream");
        for n in 0..count {
            let message = Bytes::copy_from_slice(&n.to_le_bytes());
            stream.write_all(&mut [message]).await.expect("written");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stream.finish();
    };
    let receive = async {
        let mut stream = to.accept_uni().await.expect("a stream");
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.read_chunk().await.expect("read") {
            bytes.extend_from_slice(&chunk);
        }
        let messages = bytes.chunks_exact(MESSAGE_BYTES);
        messages
            .map(|m| u32::from_le_bytes(m.try_into().expect("four bytes")))
            .collect()
    };
    let ((), received) = tokio::join!(biased; send, receive);
    received
}

/// A runtime on one thread whose clock only moves when everything waits.
fn simulate<T>(simulation: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(simulation)
}

/// A whole run under loss and jitter; returns its trace.
fn run(seed: u64, count: u32) -> u64 {
    simulate(async {
        let network = Network::new(seed);
        network.set_conditions(Conditions::lossy(0.05));
        let (_server, accepted, connected) = connected(&network).await;
        let received = transfer(&accepted, &connected, count).await;
        assert!(
            received.into_iter().eq(0..count),
            "all messages, in order, once"
        );
        assert!(
            network.counters().lost > 0,
            "there was something to make good"
        );
        network.trace_hash()
    })
}

/// Twenty clients at once, one of which is cut off for a while; returns the trace.
fn run_many(seed: u64) -> u64 {
    const CLIENTS: u16 = 20;
    simulate(async {
        let network = Network::new(seed);
        network.set_conditions(Conditions::lossy(0.05));
        let server = endpoints::server(&network).expect("an endpoint");
        let serving = tokio::spawn(async move {
            let mut sending = JoinSet::new();
            for _ in 0..CLIENTS {
                let handshake = server.accept().await.expect("open");
                sending.spawn(async move {
                    let connection = handshake.complete().await.expect("a connection");
                    let mut stream = connection.open_uni().await.expect("a stream");
                    for n in 0..200u32 {
                        let message = Bytes::copy_from_slice(&n.to_le_bytes());
                        stream.write_all(&mut [message]).await.expect("written");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    stream.finish();
                    connection.closed().await;
                });
            }
            sending.join_all().await;
        });
        let mut clients = JoinSet::new();
        for n in 0..CLIENTS {
            let client = endpoints::client(&network, n).expect("an endpoint");
            clients.spawn(async move {
                let connection = endpoints::connect(&client).await.expect("a connection");
                let mut stream = connection.accept_uni().await.expect("a stream");
                let mut received = 0;
                while let Some(chunk) = stream.read_chunk().await.expect("read") {
                    received += chunk.len();
                }
                received
            });
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        network.partition([network.client_address(3)], [network.server_address()]);
        tokio::time::sleep(Duration::from_secs(2)).await;
        network.heal();
        let received = clients.join_all().await;
        assert_eq!(received, [200 * MESSAGE_BYTES; CLIENTS as usize]);
        serving.await.expect("no panic");
        assert!(network.counters().cut > 0);
        network.trace_hash()
    })
}

#[test]
fn ten_thousand_messages_survive_loss() {
    run(1, 10_000);
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_not() {
    let trace = run(7, 1_000);
    assert_eq!(run(7, 1_000), trace);
    assert_ne!(run(8, 1_000), trace);
}

/// Hash maps are seeded by process, so only another process shows whether one of them matters.
#[test]
fn many_clients_replay_identically_in_another_process() {
    const CHILD: &str = "QSSE_TESTING_REPLAY";
    let trace = format!("trace {:016x}", run_many(11));
    if std::env::var_os(CHILD).is_some() {
        println!("{trace}");
        return;
    }
    let child = std::process::Command::new(std::env::current_exe().expect("a path"))
        .args([
            "--exact",
            "many_clients_replay_identically_in_another_process",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .output()
        .expect("it starts again");
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && output.contains(&trace),
        "not {trace}: {output}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_partition_stops_everything_until_it_heals() {
    let network = Network::new(3);
    let (_server, accepted, connected) = connected(&network).await;
    let mut stream = accepted.open_uni().await.expect("a stream");
    network.partition([network.client_address(1)], [network.server_address()]);
    stream
        .write_all(&mut ["after all".into()])
        .await
        .expect("queued");
    let arrival = async {
        connected
            .accept_uni()
            .await
            .expect("a stream")
            .read_chunk()
            .await
    };
    tokio::pin!(arrival);
    assert!(
        timeout(Duration::from_secs(5), &mut arrival).await.is_err(),
        "nothing passes"
    );
    assert!(network.counters().cut > 0);

    network.heal();
    let healed = Instant::now();
    let chunk = arrival.await.expect("still connected").expect("no end");
    assert_eq!(&chunk[..], b"after all");
    assert!(
        healed.elapsed() < Duration::from_secs(10),
        "{:?}",
        healed.elapsed()
    );
}

/// Makes a server with one client, whose connection has sent a full congestion window that was
/// lost, and has more to send. Nothing has been sent since the network carries packets again.
async fn congested(network: &Network, sender: Side) -> Ends {
    let server = endpoints::server(network).expect("an endpoint");
    let client = endpoints::client(network, 1).expect("an endpoint");
    let (far, near) = tokio::join!(
        biased;
        async { server.accept().await.expect("open").complete().await },
        endpoints::connect(&client),
    );
    let (far, near) = (far.expect("accepted"), near.expect("connected"));
    network.partition([network.client_address(1)], [network.server_address()]);
    let from = match sender {
        Side::Server => far.clone(),
        Side::Client => near.clone(),
    };
    tokio::spawn(async move {
        let mut stream = from.open_uni().await.expect("a stream");
        // More than a window. The close ends it.
        stream.write_all(&mut [vec![7; 1 << 20].into()]).await
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    network.heal();
    Ends {
        server,
        client,
        far,
        near,
    }
}

#[derive(Clone, Copy)]
enum Side {
    Server,
    Client,
}

struct Ends {
    server: ServerEndpoint,
    client: ClientEndpoint,
    /// The server's end of the connection.
    far: Connection,
    /// The client's end of the connection.
    near: Connection,
}

/// Checks that this end learns from the other that the connection is closed.
async fn is_told(end: &Connection) {
    let start = Instant::now();
    let (code, reason) = (CODE, "it is over".into());
    assert_eq!(end.closed().await, ConnectionError::Closed { code, reason });
    // One way through this network.
    assert!(
        start.elapsed() <= Duration::from_millis(20),
        "{:?}",
        start.elapsed()
    );
}

const CODE: Code = Code::NOT_AUTHORISED;

#[tokio::test(start_paused = true)]
async fn a_connection_with_a_full_congestion_window_tells_its_peer_that_it_is_closed() {
    let ends = congested(&Network::new(7), Side::Server).await;
    ends.far.close(CODE, "it is over");
    is_told(&ends.near).await;

    let ends = congested(&Network::new(8), Side::Client).await;
    ends.near.close(CODE, "it is over");
    is_told(&ends.far).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_closes_tells_the_peers_of_connections_with_a_full_congestion_window() {
    let ends = congested(&Network::new(9), Side::Server).await;
    ends.server.close(CODE, "it is over");
    is_told(&ends.near).await;

    let ends = congested(&Network::new(10), Side::Client).await;
    ends.client.close(CODE, "it is over");
    is_told(&ends.far).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stays_away_is_given_up() {
    let network = Network::new(4);
    let (_server, accepted, connected) = connected(&network).await;
    network.partition([network.client_address(1)], [network.server_address()]);
    let start = Instant::now();
    tokio::join!(biased; accepted.closed(), connected.closed());
    let idle = start.elapsed();
    assert!(
        (29..=31).contains(&idle.as_secs()),
        "{idle:?} instead of the idle timeout"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_connects_again_beside_and_after_its_first_connection() {
    let network = Network::new(5);
    let server = endpoints::server(&network).expect("an endpoint");
    let client = endpoints::client(&network, 1).expect("an endpoint");
    let mut kept = Vec::new();
    for _ in 0..3 {
        let (accepted, connected) = tokio::join!(
            biased;
            async { server.accept().await.expect("open").complete().await },
            endpoints::connect(&client),
        );
        kept.push((accepted.expect("accepted"), connected.expect("connected")));
    }
    for (accepted, connected) in &kept {
        assert_eq!(transfer(accepted, connected, 10).await.len(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_comes_back_at_its_address() {
    let network = Network::new(6);
    let (server, accepted, connected) = connected(&network).await;
    drop((server, accepted));
    while !network.free(network.server_address()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let server = endpoints::server(&network).expect("an endpoint");
    let client = endpoints::client(&network, 2).expect("an endpoint");
    let (accepted, connected_again) = tokio::join!(
        biased;
        async { server.accept().await.expect("open").complete().await },
        endpoints::connect(&client),
    );
    accepted.expect("accepted");
    connected_again.expect("connected");
    let start = Instant::now();
    connected.closed().await;
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "the old connection hears that it is over"
    );
}
