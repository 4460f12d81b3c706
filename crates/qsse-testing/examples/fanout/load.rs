//! The subscribers' side: counts what arrives in a window.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use qsse_client::Client;
use qsse_transport::tls::ClientTls;
use qsse_transport::{ClientEndpoint, ServerUrl, TransportConfig};
use tokio::time::Instant;

use crate::{EVENT_BYTES, Side};

/// Before the window: handshakes are over, congestion windows are open.
const WARM_UP: Duration = Duration::from_millis(1_500);

/// Connects at once at most this many.
const AT_ONCE: usize = 32;

pub(crate) async fn run(
    side: Side,
    url: &str,
    count: usize,
    window: Duration,
) -> anyhow::Result<()> {
    let url: ServerUrl = url.parse()?;
    let endpoint = ClientEndpoint::bind("127.0.0.1:0".parse()?)?;
    let received = Arc::new(AtomicU64::new(0));
    let begin = Arc::new(tokio::sync::Semaphore::new(0));
    for first in (0..count).step_by(AT_ONCE) {
        let connect = (first..count.min(first + AT_ONCE)).map(|_| async {
            let (received, begin) = (Arc::clone(&received), Arc::clone(&begin));
            match side {
                Side::Qsse => subscribe(&endpoint, &url, received, begin).await,
                Side::Raw => read(&endpoint, &url, received, begin).await,
            }
        });
        futures_util::future::try_join_all(connect).await?;
    }
    begin.add_permits(count);
    tokio::time::sleep(WARM_UP).await;
    let (before, started) = (received.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(window).await;
    let counted = received.load(Ordering::Relaxed) - before;
    println!("{}", counted as f64 / started.elapsed().as_secs_f64());
    // What still runs need not be taken down in order.
    std::process::exit(0);
}

async fn subscribe(
    endpoint: &ClientEndpoint,
    url: &ServerUrl,
    received: Arc<AtomicU64>,
    begin: Arc<tokio::sync::Semaphore>,
) -> anyhow::Result<()> {
    let client = Client::connect(url.clone())
        .endpoint(endpoint.clone())
        .await?;
    tokio::spawn(async move {
        let _turn = begin.acquire().await?;
        let mut events = client.subscribe("bench").await?;
        while let Some(event) = events.try_next().await? {
            assert_eq!(event.data().len(), EVENT_BYTES);
            received.fetch_add(1, Ordering::Relaxed);
        }
        anyhow::Ok(())
    });
    Ok(())
}

async fn read(
    endpoint: &ClientEndpoint,
    url: &ServerUrl,
    received: Arc<AtomicU64>,
    begin: Arc<tokio::sync::Semaphore>,
) -> anyhow::Result<()> {
    let trust = ClientTls::pinned(url.fingerprints().iter().copied());
    let address = format!("{}:{}", url.host(), url.port()).parse()?;
    let config = TransportConfig::client();
    let connection = endpoint
        .connect(address, url.host(), &trust, &config)
        .await?;
    tokio::spawn(async move {
        let _turn = begin.acquire().await?;
        let mut ready = connection.open_uni().await?;
        ready.write_all(&mut [Bytes::from_static(b"!")]).await?;
        let mut stream = connection.accept_uni().await?;
        let mut chunks = [const { Bytes::new() }; 32];
        let mut bytes = 0;
        while let Some(read) = stream.read_chunks(&mut chunks).await? {
            bytes += chunks[..read].iter().map(Bytes::len).sum::<usize>();
            received.fetch_add((bytes / EVENT_BYTES) as u64, Ordering::Relaxed);
            bytes %= EVENT_BYTES;
        }
        anyhow::Ok(())
    });
    Ok(())
}
