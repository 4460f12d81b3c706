//! The network itself, seen through bare sockets.

use std::{future::poll_fn, io::IoSliceMut, net::SocketAddr, sync::Arc, time::Duration};

use qsse_testing::{
    Conditions, Network,
    net::{Counters, Fate},
};
use quinn::{
    AsyncUdpSocket,
    udp::{RecvMeta, Transmit},
};
use tokio::time::{Instant, timeout};

type Socket = Arc<dyn AsyncUdpSocket>;

fn send(from: &Socket, to: SocketAddr, contents: &[u8]) {
    let transmit = Transmit {
        destination: to,
        ecn: None,
        contents,
        segment_size: None,
        src_ip: None,
    };
    from.try_send(&transmit).expect("sending never fails");
}

async fn receive(at: &Socket) -> (SocketAddr, Vec<u8>) {
    let mut buffer = [0; 1500];
    let mut meta = [RecvMeta::default()];
    let received = poll_fn(|cx| at.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut meta));
    assert_eq!(received.await.expect("receiving never fails"), 1);
    (meta[0].addr, buffer[..meta[0].len].to_vec())
}

/// Everything that arrives within a virtual minute.
async fn receive_all(at: &Socket) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Ok((_, contents)) = timeout(Duration::from_secs(60), receive(at)).await {
        all.push(contents);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_datagram_arrives_whole_and_after_its_delay() {
    let network = Network::new(1);
    let (server, client) = (network.server_socket(), network.client_socket(1));
    let start = Instant::now();
    send(&client, network.server_address(), b"hello");
    assert_eq!(
        receive(&server).await,
        (network.client_address(1), b"hello".to_vec())
    );
    assert_eq!(start.elapsed(), Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_already_waits_is_woken() {
    let network = Network::new(1);
    let (server, client) = (network.server_socket(), network.client_socket(1));
    let reader = tokio::spawn(async move { receive(&server).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    send(&client, network.server_address(), b"at last");
    assert_eq!(reader.await.expect("no panic").1, b"at last");
}

#[tokio::test(start_paused = true)]
async fn a_later_datagram_with_less_delay_overtakes() {
    let network = Network::new(1);
    let (server, client) = (network.server_socket(), network.client_socket(1));
    let second = Duration::from_secs(1);
    network.set_conditions(Conditions::default().delay(second, second));
    send(&client, network.server_address(), b"slow");
    network.set_conditions(Conditions::default());
    send(&client, network.server_address(), b"fast 1");
    send(&client, network.server_address(), b"fast 2");
    assert_eq!(
        receive_all(&server).await,
        [&b"fast 1"[..], b"fast 2", b"slow"]
    );
}

#[tokio::test(start_paused = true)]
async fn jitter_reorders_loss_loses_and_duplication_repeats() {
    let network = Network::new(1);
    let (server, client) = (network.server_socket(), network.client_socket(1));
    network.set_conditions(Conditions::lossy(0.1).duplicate(0.2));
    for n in 0..10_000u32 {
        send(&client, network.server_address(), &n.to_le_bytes());
    }
    let mut got: Vec<u32> = receive_all(&server)
        .await
        .into_iter()
        .map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")))
        .collect();
    assert!(!got.is_sorted(), "jitter reorders");
    let arrived = got.len() as u64;
    got.sort_unstable();
    got.dedup();
    let Counters {
        delivered,
        lost,
        duplicated,
        ..
    } = network.counters();
    assert_eq!(delivered, arrived);
    assert_eq!(lost, 10_000 - got.len() as u64);
    assert_eq!(duplicated, arrived - got.len() as u64);
    assert!(
        (850..1_150).contains(&lost),
        "{lost} lost of 10,000 at 10 %"
    );
    assert!(
        (1_600..2_000).contains(&duplicated),
        "{duplicated} of 9,000 twice at 20 %"
    );
}

#[tokio::test(start_paused = true)]
async fn a_partition_cuts_both_ways_between_its_sides_only() {
    let network = Network::new(1);
    let server = network.server_socket();
    let clients = [network.client_socket(1), network.client_socket(2)];
    network.partition([network.client_address(1)], [network.server_address()]);

    send(&clients[0], network.server_address(), b"cut");
    send(&server, network.client_address(1), b"cut");
    send(&clients[1], network.server_address(), b"from 2");
    send(&clients[1], network.client_address(1), b"between clients");
    assert_eq!(receive_all(&server).await, [b"from 2"]);
    assert_eq!(receive_all(&clients[0]).await, [b"between clients"]);
    assert_eq!(network.counters().cut, 2);

    network.heal();
    send(&clients[0], network.server_address(), b"healed");
    assert_eq!(receive_all(&server).await, [b"healed"]);
}

#[tokio::test(start_paused = true)]
async fn an_address_is_free_again_once_its_socket_is_gone() {
    let network = Network::new(1);
    network.keep_steps();
    let (server, client) = (network.server_socket(), network.client_socket(1));
    send(&client, network.server_address(), b"under way");
    drop(server);
    assert!(network.free(network.server_address()));
    send(&client, network.server_address(), b"nobody there");

    let server = network.server_socket();
    assert!(!network.free(network.server_address()));
    send(&client, network.server_address(), b"hello again");
    assert_eq!(receive_all(&server).await, [b"hello again"]);
    let fates: Vec<_> = network.steps().iter().map(|step| step.fate).collect();
    assert_eq!(fates, [Fate::Unreachable, Fate::Delivered]);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "10.1.0.1:5000 already has a socket")]
async fn two_sockets_cannot_share_an_address() {
    let network = Network::new(1);
    let _first = network.client_socket(1);
    let _second = network.client_socket(1);
}
