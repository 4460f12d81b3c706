//! The sides of the comparison.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_trait::async_trait;
use qsse_client::{Client, ServerUrl};
use qsse_log::Acknowledge;
use qsse_log::disk::{self, Disk};
use qsse_proto::batch::Builder;
use qsse_proto::{Epoch, Timestamp};
use qsse_server::{Action, Authorizer, DiskRetention, Principal, Scope, Server};
use qsse_store::{Entry, Options, Store};
use qsse_topic::PatternRef;
use tokio::runtime;
use tokio::task::JoinSet;

use super::part::{Part, Which};
use super::slow::Slow;
use crate::bench::EVENT_BYTES;

const TOPIC: &str = "bench";

/// What does not count yet.
const WARM_UP: Duration = Duration::from_millis(500);

pub(super) fn run(part: &Part) -> Result<()> {
    if part.which == Which::Bare {
        println!("{}", bare(part)?);
        return Ok(());
    }
    // As the program runs in process; over the network each side has one core.
    let runtime = match part.which {
        Which::Inside => runtime::Runtime::new()?,
        _ => runtime::Builder::new_current_thread()
            .enable_all()
            .build()?,
    };
    let result = runtime.block_on(async {
        match part.which {
            Which::Serve => {
                let server = serve(part).await?;
                println!("{}", server.url());
                std::future::pending().await
            }
            Which::Inside => {
                println!("{}", inside(part).await?);
                Ok(())
            }
            _ => {
                println!("{}", load(part).await?);
                Ok(())
            }
        }
    });
    runtime.shutdown_background();
    result
}

/// Appends and syncs groups of as many events as there are publishers.
fn bare(part: &Part) -> Result<f64> {
    let (mut store, _) = Store::open_dir(&part.dir, options())?;
    let mut builder = Builder::new();
    let mut seqs = 1..;
    let mut group = |store: &mut Store| -> Result<()> {
        for seq in seqs.by_ref().take(part.publishers) {
            let time = Timestamp::from_micros(seq);
            builder.push(seq, time, TOPIC, "message", &[7; EVENT_BYTES]);
        }
        store.append(&[Entry::from(builder.finish())])?;
        store.sync()?;
        std::thread::sleep(slower(part));
        Ok(())
    };
    let warm = Instant::now();
    while warm.elapsed() < WARM_UP {
        group(&mut store)?;
    }
    let (begun, mut groups) = (Instant::now(), 0);
    while begun.elapsed().as_secs_f64() < part.seconds {
        group(&mut store)?;
        groups += 1;
    }
    let events = groups * part.publishers;
    Ok(events as f64 / begun.elapsed().as_secs_f64())
}

async fn inside(part: &Part) -> Result<f64> {
    let server = serve(part).await?;
    let count = Arc::new(AtomicU64::new(0));
    let mut publishers = JoinSet::new();
    for _ in 0..part.publishers {
        let (server, count) = (server.clone(), Arc::clone(&count));
        publishers.spawn(async move {
            loop {
                server.publish(TOPIC, [7; EVENT_BYTES]).await?;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    measure(part, &count, publishers).await
}

async fn load(part: &Part) -> Result<f64> {
    let url: ServerUrl = part.url.as_deref().context("--url is missing")?.parse()?;
    let count = Arc::new(AtomicU64::new(0));
    let mut publishers = JoinSet::new();
    let mut clients = Vec::new();
    for _ in 0..part.connections {
        clients.push(Client::connect(url.clone()).await?);
    }
    for index in 0..part.publishers {
        let (client, count) = (clients[index % clients.len()].clone(), Arc::clone(&count));
        publishers.spawn(async move {
            loop {
                client.publish(TOPIC, [7; EVENT_BYTES]).await?;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    measure(part, &count, publishers).await
}

/// Acknowledged publishes a second; an error if a publisher ends.
async fn measure(
    part: &Part,
    count: &AtomicU64,
    mut publishers: JoinSet<Result<()>>,
) -> Result<f64> {
    let counting = async {
        tokio::time::sleep(WARM_UP).await;
        let (before, begun) = (count.load(Ordering::Relaxed), Instant::now());
        tokio::time::sleep(Duration::from_secs_f64(part.seconds)).await;
        let counted = count.load(Ordering::Relaxed) - before;
        counted as f64 / begun.elapsed().as_secs_f64()
    };
    tokio::select! {
        rate = counting => Ok(rate),
        ended = publishers.join_next() => {
            ended.context("there are no publishers")???;
            anyhow::bail!("a publisher has ended")
        }
    }
}

async fn serve(part: &Part) -> Result<Server> {
    let disk = Disk::open(&part.dir, options(), DiskRetention::default())?;
    let storage = Slow::new(disk, slower(part));
    let server = Server::bind("127.0.0.1:0").authorizer(Anybody);
    Ok(server.storage(storage).await?)
}

fn options() -> Options {
    disk::options(Epoch::new(5), Acknowledge::Synced)
}

fn slower(part: &Part) -> Duration {
    Duration::from_micros(part.slower_us)
}

/// Everybody may do everything.
struct Anybody;

#[async_trait]
impl Authorizer for Anybody {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, _: PatternRef<'_>) -> bool {
        true
    }
}
