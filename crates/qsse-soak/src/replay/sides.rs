//! The sides of the comparison: servers, and who reads from them.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use qsse_client::{Client, Start};
use qsse_proto::batch::Builder;
use qsse_proto::{Epoch, Timestamp};
use qsse_server::{Config, LogConfig, Server};
use qsse_store::{Entry, Options, Store};
use qsse_transport::tls::{ClientTls, ServerTls};
use qsse_transport::{ClientEndpoint, Connection, ServerEndpoint, ServerUrl, TransportConfig};

use super::side::Side;
use crate::bench::EVENT_BYTES;

const TOPIC: &str = "bench";

/// A server with its history, until the process is killed.
pub(super) async fn serve(side: Side, events: u64, batch: u64, dir: &Path) -> Result<()> {
    let server = match side {
        Side::Raw => return write(events * EVENT_BYTES as u64).await,
        Side::Memory => {
            let log = LogConfig::default().history_bytes(8 << 30);
            let mut config = Config::default();
            config.log = log;
            let server = Server::bind("127.0.0.1:0").config(config).await?;
            for _ in 0..events {
                server.try_publish(TOPIC, [7; EVENT_BYTES])?;
            }
            server
        }
        Side::Disk => {
            let dir = dir.join("store");
            fill(&dir, events, batch)?;
            Server::bind("127.0.0.1:0").store(dir).await?
        }
    };
    println!("{}", server.url());
    std::future::pending().await
}

/// Writes the events to a store and closes it.
fn fill(dir: &Path, events: u64, batch: u64) -> Result<()> {
    let (mut store, _) = Store::open_dir(dir, Options::new(Epoch::new(5)).lease(0))?;
    let mut builder = Builder::new();
    for seq in 1..=events {
        let time = Timestamp::from_micros(seq);
        builder.push(seq, time, TOPIC, "message", &[7; EVENT_BYTES]);
        if seq % batch == 0 || seq == events {
            store.append(&[Entry::from(builder.finish())])?;
        }
    }
    store.close(events)?;
    Ok(())
}

async fn write(bytes: u64) -> Result<()> {
    let tls = ServerTls::self_signed([] as [&str; 0])?;
    let endpoint =
        ServerEndpoint::bind_plain("127.0.0.1:0".parse()?, &tls, &TransportConfig::server())?;
    let url = ServerUrl::from(endpoint.local_addr());
    println!(
        "{}",
        url.with_fingerprint(tls.fingerprint().context("it was just made")?)
    );
    while let Some(handshake) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = handshake.complete().await?;
            fill_stream(connection, bytes).await
        });
    }
    Ok(())
}

async fn fill_stream(connection: Connection, bytes: u64) -> Result<()> {
    let chunk = Bytes::from(vec![7; 64 << 10]);
    let mut stream = connection.open_uni().await?;
    let mut queue = VecDeque::new();
    let mut left = bytes;
    while left > 0 {
        let some = left.min(chunk.len() as u64);
        left -= some;
        queue.push_back(chunk.slice(..some as usize));
        stream.write_whole_queue(&mut queue).await?;
    }
    stream.finish();
    connection.closed().await;
    Ok(())
}

/// Reads everything; events a second, from the first one on.
pub(super) async fn load(side: Side, url: &str, events: u64) -> Result<f64> {
    let url: ServerUrl = url.parse()?;
    match side {
        Side::Raw => read(url, events).await,
        _ => subscribe(url, events).await,
    }
}

async fn subscribe(url: ServerUrl, events: u64) -> Result<f64> {
    let client = Client::connect(url).await?;
    let mut history = client.subscribe(TOPIC).start(Start::Earliest).await?;
    let mut begun = None;
    for _ in 0..events {
        let event = history.lend_next().await;
        let event = event.context("the history ended early")??;
        ensure!(event.data().len() == EVENT_BYTES, "another event");
        begun.get_or_insert_with(Instant::now);
    }
    Ok(rate(events, begun))
}

async fn read(url: ServerUrl, events: u64) -> Result<f64> {
    let endpoint = ClientEndpoint::bind("127.0.0.1:0".parse()?)?;
    let trust = ClientTls::pinned(url.fingerprints().iter().copied());
    let address = format!("{}:{}", url.host(), url.port()).parse()?;
    let config = TransportConfig::client();
    let connection = endpoint
        .connect(address, url.host(), &trust, &config)
        .await?;
    let mut stream = connection.accept_uni().await?;
    let mut chunks = [const { Bytes::new() }; 32];
    let (mut bytes, mut begun) = (0, None);
    while let Some(read) = stream.read_chunks(&mut chunks).await? {
        begun.get_or_insert_with(Instant::now);
        bytes += chunks[..read]
            .iter()
            .map(|chunk| chunk.len() as u64)
            .sum::<u64>();
    }
    ensure!(bytes == events * EVENT_BYTES as u64, "{bytes} bytes came");
    Ok(rate(events, begun))
}

fn rate(events: u64, begun: Option<Instant>) -> f64 {
    begun.map_or(f64::NAN, |begun| {
        events as f64 / begun.elapsed().as_secs_f64()
    })
}
