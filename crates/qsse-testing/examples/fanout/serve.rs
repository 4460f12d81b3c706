//! The server's side: publishes as fast as the subscribers are served.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use qsse_server::Server;
use qsse_transport::tls::ServerTls;
use qsse_transport::{Connection, ServerEndpoint, ServerUrl, TransportConfig};

use crate::{EVENT_BYTES, Side};

/// Events that a subscriber may be behind before the publisher waits: well inside a feed of 4 MiB.
const AHEAD: u64 = 16_000;

pub(crate) async fn run(side: Side) -> anyhow::Result<()> {
    match side {
        Side::Qsse => publish().await,
        Side::Raw => write().await,
    }
}

async fn publish() -> anyhow::Result<()> {
    let delivered = Delivered::default();
    let recorder = Arc::new(delivered.clone());
    let server = Server::bind("127.0.0.1:0").recorder(recorder).await?;
    println!("{}", server.url());
    let data = [7; EVENT_BYTES];
    let mut owed = 0;
    loop {
        let subscribers = delivered.subscriptions.load(Ordering::Relaxed);
        if subscribers == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            owed = delivered.events.load(Ordering::Relaxed);
            continue;
        }
        if owed > delivered.events.load(Ordering::Relaxed) + AHEAD * subscribers {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        for _ in 0..512 {
            server.try_publish("bench", data)?;
        }
        owed += 512 * subscribers;
        tokio::task::yield_now().await;
    }
}

async fn write() -> anyhow::Result<()> {
    let tls = ServerTls::self_signed([] as [&str; 0])?;
    let endpoint = ServerEndpoint::bind("127.0.0.1:0".parse()?, &tls, &TransportConfig::server())?;
    let url = ServerUrl::from(endpoint.local_addr());
    println!(
        "{}",
        url.with_fingerprint(tls.fingerprint().expect("it was just made"))
    );
    let chunk = Bytes::from(vec![7; 64 << 10]);
    while let Some(handshake) = endpoint.accept().await {
        let chunk = chunk.clone();
        tokio::spawn(async move {
            let Ok(connection) = handshake.complete().await else {
                return;
            };
            let _ = fill(connection, chunk).await;
        });
    }
    Ok(())
}

async fn fill(connection: Connection, chunk: Bytes) -> anyhow::Result<()> {
    // The subscribers all begin at once, as those of the other side do: when a stream of theirs comes.
    connection.accept_uni().await?;
    let mut stream = connection.open_uni().await?;
    let mut queue = VecDeque::new();
    loop {
        queue.push_back(chunk.clone());
        while !queue.is_empty() {
            stream.write_queue(&mut queue).await?;
        }
    }
}

/// Reads two figures off the server's metrics.
#[derive(Clone, Default)]
struct Delivered {
    events: Arc<AtomicU64>,
    subscriptions: Arc<AtomicU64>,
}

impl Recorder for Delivered {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match key.name().ends_with("delivered_events") {
            true => Counter::from_arc(Arc::clone(&self.events)),
            false => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match key.name().ends_with("_subscriptions") {
            true => Gauge::from_arc(Arc::new(Whole(Arc::clone(&self.subscriptions)))),
            false => Gauge::noop(),
        }
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// A gauge of whole things.
struct Whole(Arc<AtomicU64>);

impl metrics::GaugeFn for Whole {
    fn increment(&self, value: f64) {
        self.0.fetch_add(value as i64 as u64, Ordering::Relaxed);
    }

    fn decrement(&self, value: f64) {
        self.0.fetch_sub(value as i64 as u64, Ordering::Relaxed);
    }

    fn set(&self, value: f64) {
        self.0.store(value as u64, Ordering::Relaxed);
    }
}
