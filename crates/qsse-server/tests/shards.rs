//! Servers of several shards: what is published, permitted, limited and drained is the same on all.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use qsse_proto::control::{ServerFrame, Start};
use qsse_proto::stream::Item;
use qsse_proto::{Code, Event};
use qsse_server::{Authenticator, Closed, Config, Credentials, Denied, Principal, Server};
use qsse_server::{ServerTls, TransportConfig};
use qsse_topic::Topic;
use qsse_transport::tls::ClientTls;
use qsse_transport::{ClientEndpoint, ConnectError, Connection, ConnectionError, ServerEndpoint};
use support::{RawClient, server};
use tokio::sync::{mpsc, oneshot};

/// Enough that two shards have some each, but for one run in thirty thousand.
const CLIENTS: usize = 16;

/// Longer than anything here takes unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it came in time")
}

fn seen(event: &Event) -> (u64, Topic, String) {
    let text = event.text().unwrap().to_owned();
    (event.id().seq(), event.topic().clone(), text)
}

/// Publishes from a thread without a runtime.
fn publish_from_elsewhere(server: &Server, topic: &'static str, count: usize) {
    let server = server.clone();
    std::thread::spawn(move || {
        for n in 0..count {
            server.try_publish(topic, format!("{n}")).unwrap();
        }
    });
}

#[tokio::test]
async fn all_subscribers_get_everything_in_one_order_whoever_publishes() {
    const EACH: usize = 2_000;
    for shards in [1, 2, 4] {
        let server = server()
            .authorizer_fn(|_, _| true)
            .shards(shards)
            .await
            .unwrap();
        let mut readers = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = RawClient::connect(&server).await;
            let mut events = client.subscribe(1, &["*"], Start::Live).await;
            readers.push(tokio::spawn(async move {
                let mut order = Vec::new();
                while order.len() < 3 * EACH {
                    order.push(seen(&events.event().await));
                }
                drop(client);
                order
            }));
        }
        let mut local = server.subscribe("*").await.unwrap();
        publish_from_elsewhere(&server, "thread", EACH);
        // Another runtime, with a thread of its own.
        let other = server.clone();
        let runtime = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                for n in 0..EACH / 4 {
                    let run = [0, 1, 2, 3].map(|m| ("runtime", (4 * n + m).to_string()));
                    other.publish_all(&run).await.unwrap();
                }
            });
        });
        for n in 0..EACH {
            server.publish("here", format!("{n}")).await.unwrap();
        }
        let mut order = Vec::new();
        while order.len() < 3 * EACH {
            order.push(seen(&soon(local.try_next()).await.unwrap().unwrap()));
        }
        assert!(order.iter().map(|(seq, ..)| *seq).eq(1..=3 * EACH as u64));
        for topic in ["thread", "runtime", "here"] {
            let numbers = order.iter().filter(|(_, name, _)| name.as_str() == topic);
            let numbers = numbers.map(|(.., text)| text.parse::<usize>().unwrap());
            assert!(numbers.eq(0..EACH), "{topic}");
        }
        for reader in readers {
            assert!(soon(reader).await.unwrap() == order);
        }
        runtime.join().unwrap();
    }
}

// A reader that sleeps on another thread is woken by each single publish.
#[tokio::test]
async fn a_quiet_subscriber_of_any_shard_gets_each_event_at_once() {
    let server = server().shards(2).await.unwrap();
    let mut subscribers = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = RawClient::connect(&server).await;
        let events = client.subscribe(1, &["a"], Start::Live).await;
        subscribers.push((client, events));
    }
    for n in 0..50 {
        server.publish("a", format!("{n}")).await.unwrap();
        for (_, events) in &mut subscribers {
            let event = soon(events.event()).await;
            assert_eq!(event.text().unwrap(), format!("{n}"));
        }
    }
}

#[tokio::test]
async fn a_drain_waits_for_the_streams_of_all_shards() {
    let server = server().shards(2).await.unwrap();
    let mut subscribers = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = RawClient::connect(&server).await;
        let events = client.subscribe(1, &["*"], Start::Live).await;
        subscribers.push((client, events));
    }
    for n in 0..1_000 {
        server.publish("a", format!("{n}")).await.unwrap();
    }
    let draining = tokio::spawn({
        let server = server.clone();
        async move { server.shutdown(PATIENCE).await }
    });
    for (mut client, mut events) in subscribers {
        assert!(!draining.is_finished(), "one still reads");
        let goodbye = soon(client.next()).await;
        assert!(matches!(goodbye, ServerFrame::Goodbye(_)), "{goodbye:?}");
        for n in 0..1_000 {
            assert_eq!(events.event().await.text().unwrap(), format!("{n}"));
        }
        assert!(matches!(events.item().await, Ok(Some(Item::Heartbeat(id))) if id.seq() == 1_000));
        assert!(matches!(events.item().await, Ok(None)));
        client.connection.close(Code::NO_ERROR, "read to the end");
    }
    assert_eq!(soon(draining).await.unwrap(), Closed::Drained);
}

async fn connect(server: &Server) -> Result<Connection, ConnectError> {
    let endpoint = ClientEndpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let trust = ClientTls::pinned([server.fingerprint().unwrap()]);
    let config = TransportConfig::client();
    let attempt = endpoint.connect(server.local_addr(), "localhost", &trust, &config);
    soon(attempt).await
}

#[tokio::test]
async fn a_full_server_is_full_on_all_shards() {
    let transport = TransportConfig::server().max_connections(CLIENTS);
    let config = Config::default().transport(transport).shards(4);
    let server = server().config(config).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..CLIENTS {
        open.push(connect(&server).await.unwrap());
    }
    for _ in 0..CLIENTS {
        let error = connect(&server).await.unwrap_err();
        assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    }
    soon(async {
        while server.connection_count() < CLIENTS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Asks a task of another runtime, as a pool of connections to a database does.
struct Asks {
    questions: mpsc::Sender<(String, oneshot::Sender<bool>)>,
    threads: Arc<Mutex<BTreeSet<String>>>,
}

#[async_trait]
impl Authenticator for Asks {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        self.threads.lock().unwrap().insert(thread);
        let token = credentials.token.unwrap_or_default().to_owned();
        let (answer, answered) = oneshot::channel();
        self.questions.send((token, answer)).await.unwrap();
        match answered.await {
            Ok(true) => Ok(Principal::new("known").valid_for(Duration::from_secs(60))),
            _ => Err(Denied::new("unknown")),
        }
    }
}

#[tokio::test]
async fn an_authenticator_that_asks_elsewhere_is_answered_on_all_shards() {
    let (questions, mut asked) = mpsc::channel::<(String, oneshot::Sender<bool>)>(1);
    tokio::spawn(async move {
        while let Some((token, answer)) = asked.recv().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let _ = answer.send(token == "secret");
        }
    });
    let threads = Arc::default();
    let asks = Asks {
        questions,
        threads: Arc::clone(&threads),
    };
    let server = server().authenticator(asks).shards(2).await.unwrap();
    for _ in 0..CLIENTS {
        soon(RawClient::connect_with(&server, Some("secret"))).await;
        let refused = RawClient::hello(&server, Some("wrong")).await;
        assert_eq!(soon(refused.closed()).await.0, Code::NOT_AUTHORISED);
    }
    let threads = threads.lock().unwrap();
    assert!(
        threads.iter().eq(["qsse-shard-0", "qsse-shard-1"]),
        "{threads:?}"
    );
}

#[tokio::test]
async fn the_last_handle_dropped_ends_all_shards_and_frees_the_port() {
    // What runs on the threads is dropped with them.
    let (held, mut dropped) = mpsc::channel::<()>(1);
    let server = server().authenticator_fn(move |_| {
        let held = held.clone();
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        true
    });
    let server = server.shards(2).await.unwrap();
    let address = server.local_addr();
    for shards in [1, 2] {
        let second = Server::bind(address).shards(shards).await.unwrap_err();
        assert!(second.to_string().contains("in use"), "{second}");
    }
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(RawClient::connect(&server).await);
    }
    drop(server);
    for client in &clients {
        assert_eq!(soon(client.closed()).await.0, Code::SHUTTING_DOWN);
    }
    assert_eq!(soon(dropped.recv()).await, None);
    soon(async {
        while Server::bind(address).shards(2).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_shard_that_ends_ends_the_server() {
    let start = |name: &str| {
        let (handle, sent) = std::sync::mpsc::channel();
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name(name.into());
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            handle.send(runtime.handle().clone()).unwrap();
            let _ = runtime.block_on(ended);
        };
        let thread = thread.spawn(body).unwrap();
        (sent.recv().unwrap(), end, thread)
    };
    let (first, _first_end, _) = start("lives");
    let (second, second_end, thread) = start("dies");
    let tls = ServerTls::self_signed([] as [&str; 0]).unwrap();
    let fingerprint = tls.fingerprint().unwrap();
    let endpoint = ServerEndpoint::bind_shards(
        "127.0.0.1:0".parse().unwrap(),
        &[first, second],
        &tls,
        &TransportConfig::server(),
    );
    let server = server().endpoint(endpoint.unwrap()).await.unwrap();
    let endpoint = ClientEndpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let trust = ClientTls::pinned([fingerprint]);
    let config = TransportConfig::client();
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        let attempt = endpoint.connect(server.local_addr(), "localhost", &trust, &config);
        connections.push(soon(attempt).await.unwrap());
    }
    drop(second_end);
    thread.join().unwrap();
    assert_eq!(soon(server.closed()).await, Closed::EndpointFailed);
    // Those of the other shard are not kept by a server that is no more.
    let reason = soon(async {
        loop {
            if let Some(reason) = connections.iter().find_map(Connection::close_reason) {
                return reason;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let code = Code::SHUTTING_DOWN;
    assert!(
        matches!(&reason, ConnectionError::Closed { code: told, .. } if *told == code),
        "{reason:?}"
    );
    assert!(server.try_publish("a", "late").is_err());
}

#[tokio::test]
async fn numbers_of_shards_that_cannot_be_are_told() {
    for shards in [0, 65, usize::MAX] {
        let error = server().shards(shards).await.unwrap_err().to_string();
        let expected = format!("1 to 64 shards, not {shards}");
        assert!(error.contains(&expected), "{error}");
    }
}
