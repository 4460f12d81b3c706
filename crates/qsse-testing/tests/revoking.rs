//! Rights that are taken back under load: a real server and real clients of all dialects, over
//! loopback.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use qsse_client::{Client, Config, Connect, Dialect, Event, ReconnectPolicy, Subscription};
use qsse_server::{
    Authenticator, Config as ServerConfig, Credentials, Denied, Principal, Revocation, Server,
    WebTransport,
};
use tokio::task::JoinHandle;

/// What every subscriber reads.
const TOPIC: &str = "load.x";

/// Subscriptions of a client of `qsse/1`; one of the Go dialect has a connection for each.
const PER_CLIENT: usize = 5;

/// The time between two events: with a thousand subscribers these are 33,000 deliveries a second,
/// so few that the clients keep up and a backlog of theirs does not hide when they were closed.
const BETWEEN: Duration = Duration::from_millis(30);

/// By when a client is to know that it was revoked.
const TARGET: Duration = Duration::from_secs(1);

/// Each wait is for a condition; this only ends one that never comes.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(120), future)
        .await
        .expect("it took two minutes")
}

/// The token is the name.
struct ByName;

#[async_trait]
impl Authenticator for ByName {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        Ok(Principal::new(credentials.token.unwrap_or_default()))
    }
}

/// A subscriber at work.
struct Subscriber {
    /// The number of the last event that it got.
    last: Arc<AtomicU64>,
    /// Returns when its subscription ended.
    task: JoinHandle<Instant>,
}

impl Subscriber {
    fn start(mut subscription: Subscription) -> Self {
        let last = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&last);
        let task = tokio::spawn(async move {
            while let Ok(Some(event)) = subscription.try_next().await {
                seen.fetch_max(number(&event), Ordering::Relaxed);
            }
            Instant::now()
        });
        Self { last, task }
    }

    fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    async fn has_seen(&self, number: u64) {
        while self.last() < number {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn number(event: &Event) -> u64 {
    u64::from_le_bytes(*event.data().first_chunk().unwrap())
}

/// Connects a client that does not come back.
async fn connect(server: &Server, name: &str, dialect: Dialect) -> Client {
    let config = Config::default()
        .reconnect(ReconnectPolicy::never())
        .connect_timeout(Duration::from_secs(60));
    let client = Client::connect(server.url()).config(config);
    let others = server.browser_fingerprints().into_iter();
    others
        .fold(client, Connect::fingerprint)
        .token(name.to_owned())
        .dialect(dialect)
        .await
        .unwrap()
}

/// Connects clients of a principal with this many subscriptions, in each dialect in turn.
async fn subscribers(server: &Server, name: &str, count: usize) -> Vec<Subscriber> {
    let mut all = Vec::new();
    let mut dialects = [Dialect::Go, Dialect::Qsse, Dialect::WebTransport]
        .into_iter()
        .cycle();
    while all.len() < count {
        let dialect = dialects.next().unwrap();
        let client = connect(server, name, dialect).await;
        let more = if dialect == Dialect::Go {
            1
        } else {
            PER_CLIENT
        };
        for _ in 0..more.min(count - all.len()) {
            let subscription = client.subscribe(TOPIC).await.unwrap();
            all.push(Subscriber::start(subscription));
        }
    }
    all
}

/// Publishes numbered events until it is told to stop.
fn publish(server: Server, published: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let mut data = vec![7; 500];
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        published.store(number, Ordering::SeqCst);
        data[..8].copy_from_slice(&number.to_le_bytes());
        server.try_publish(TOPIC, &data).unwrap();
        std::thread::sleep(BETWEEN);
    }
}

/// Revokes a principal with this many subscriptions while events are published. None of them may
/// get an event that was published after the revocation. Prints how long it took until the server
/// had forgotten them, and until they knew.
async fn revoke_under_load(count: usize) {
    let server = Server::bind("127.0.0.1:0")
        .config(ServerConfig::default().go_dialect(true))
        .authenticator(ByName)
        .web_transport(WebTransport::default())
        .await
        .unwrap();
    let revoked = subscribers(&server, "revoked", count).await;
    let honest = Subscriber::start(
        connect(&server, "honest", Dialect::Qsse)
            .await
            .subscribe(TOPIC)
            .await
            .unwrap(),
    );
    let (published, stop) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let publisher = std::thread::spawn({
        let (server, published, stop) = (server.clone(), published.clone(), stop.clone());
        move || publish(server, published, stop)
    });
    soon(join_all(revoked.iter().map(|one| one.has_seen(20)))).await;

    let connections = server.connections().len();
    let begun = Instant::now();
    let closed = server.revoke(&Revocation::principal("revoked")).unwrap();
    let (took, last) = (begun.elapsed(), published.load(Ordering::SeqCst));
    assert_eq!(closed, connections - 1);
    let gone = soon(async {
        while server.connections().len() > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        begun.elapsed()
    });
    let gone = gone.await;
    // The load goes on, and whoever may read it gets it.
    soon(honest.has_seen(last + 20)).await;
    let mut times = Vec::new();
    for one in revoked {
        let ended = soon(one.task).await.unwrap();
        times.push(ended - begun);
        let seen = one.last.load(Ordering::Relaxed);
        assert!(seen <= last, "event {seen} was published after {last}");
    }
    stop.store(true, Ordering::Relaxed);
    publisher.join().unwrap();

    times.sort_unstable();
    let (p50, max) = (times[times.len() / 2], times[times.len() - 1]);
    let late = times.iter().filter(|time| **time > TARGET).count();
    println!(
        "{count} subscriptions on {closed} connections: revoked in {took:?}, forgotten in \
         {gone:?}; the clients knew after {p50:?} (p50), {max:?} (max), {late} of them after more \
         than {TARGET:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_subscriptions_get_nothing_that_is_published_after_their_revocation() {
    revoke_under_load(300).await;
}

#[ignore = "a thousand clients take a minute: the measurement, to be run with --nocapture"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_subscriptions_get_nothing_that_is_published_after_their_revocation() {
    revoke_under_load(1_000).await;
}
