//! Publishers that send exactly once: what that costs beside those that do not, and that a server
//! which stands still while they publish as fast as they can costs no event and brings none twice.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use qsse_client::{Client, Config, Publisher, ReconnectPolicy, TransportConfig};
use qsse_server::{Action, Authorizer, Principal, Scope, Server};
use qsse_topic::PatternRef;
use tokio::sync::mpsc as orders;

/// Arguments of `retried`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds, each of both sides.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of each side.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// For how long the server stands still.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    stall: Duration,
}

const DATA: [u8; 128] = [b'x'; 128];
const PUBLISHERS: [usize; 2] = [1, 10];

pub(crate) fn run(args: &Args) -> Result<()> {
    let serving = Serving::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for publishers in PUBLISHERS {
        let (mut without, mut with, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..args.rounds {
            let rates = [false, true].map(|exactly_once| {
                runtime.block_on(rate(&serving.url, publishers, exactly_once, args.seconds))
            });
            let [plain, once] = rates;
            let (plain, once) = (plain?, once?);
            without.push(plain);
            with.push(once);
            ratios.push(once / plain);
        }
        let (least, most) = (smallest(&ratios), largest(&ratios));
        println!(
            "{publishers} publishers: {:.0} events/s without, {:.0} with exactly-once; {:.2} x ({least:.2} to {most:.2}; medians of {} rounds)",
            median(without),
            median(with),
            median(ratios),
            args.rounds
        );
    }
    runtime.block_on(stalled(&serving, args.stall))
}

/// A server on a thread of its own, which can be made to stand still.
struct Serving {
    server: Server,
    url: String,
    stall: orders::UnboundedSender<Duration>,
}

impl Serving {
    fn start() -> Result<Self> {
        let (ready, started) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let server = Server::bind("127.0.0.1:0").authorizer(Everybody).await;
                let (stall, mut stalls) = orders::unbounded_channel::<Duration>();
                let _ = ready.send((server, stall));
                while let Some(time) = stalls.recv().await {
                    // The runtime has this thread only.
                    std::thread::sleep(time);
                }
            });
        });
        let (server, stall) = started.recv().context("no server")?;
        let server = server?;
        let url = server.url().to_string();
        Ok(Self { server, url, stall })
    }
}

struct Everybody;

#[async_trait]
impl Authorizer for Everybody {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, _: PatternRef<'_>) -> bool {
        true
    }
}

/// Events a second of so many publishers, each with a connection of its own.
async fn rate(url: &str, publishers: usize, exactly_once: bool, seconds: f64) -> Result<f64> {
    let mut tasks = Vec::new();
    for _ in 0..publishers {
        let client = Client::connect(url).await?;
        tasks.push((publisher(&client, exactly_once), client));
    }
    let begun = Instant::now();
    let until = begun + Duration::from_secs_f64(seconds);
    let tasks = tasks.into_iter().map(|(publisher, client)| {
        tokio::spawn(async move {
            while Instant::now() < until {
                for _ in 0..256 {
                    publisher.send("bench", DATA).await?;
                }
            }
            publisher.flush().await?;
            drop(client);
            anyhow::Ok(publisher.progress().acknowledged)
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut events = 0;
    for task in tasks {
        events += task.await??;
    }
    Ok(events as f64 / begun.elapsed().as_secs_f64())
}

fn publisher(client: &Client, exactly_once: bool) -> Publisher {
    match exactly_once {
        true => client.publisher().exactly_once(),
        false => client.publisher(),
    }
}

/// One publisher at full speed, whose connection is given up while the server stands still.
async fn stalled(serving: &Serving, stall: Duration) -> Result<()> {
    let before = serving.server.log_stats().head;
    let transport = TransportConfig::client()
        .idle_timeout(Duration::from_secs(1))
        .keep_alive(Duration::from_millis(300));
    let quick = ReconnectPolicy::backoff(Duration::from_millis(50), Duration::from_millis(300));
    let config = Config::default()
        .transport(transport)
        .reconnect(quick)
        .publish_wait(stall + Duration::from_secs(30));
    let client = Client::connect(serving.url.as_str()).config(config).await?;
    let publisher = publisher(&client, true);
    let begun = Instant::now();
    let (mut sent, mut rate, mut longest) = (0_u64, 0.0, Duration::ZERO);
    let phase = Duration::from_secs(2);
    let mut stalls = Some(stall);
    while begun.elapsed() < stall + 2 * phase {
        let asked = Instant::now();
        for _ in 0..256 {
            publisher.send("bench", DATA).await?;
        }
        sent += 256;
        longest = longest.max(asked.elapsed());
        if begun.elapsed() >= phase
            && let Some(stall) = stalls.take()
        {
            rate = sent as f64 / begun.elapsed().as_secs_f64();
            serving.stall.send(stall)?;
        }
    }
    publisher.flush().await?;
    let taken = serving.server.log_stats().head - before;
    println!(
        "stalled for {} at {rate:.0} events/s: sends waited {:.1} s at most; {sent} sent, {taken} taken",
        humantime::format_duration(stall),
        longest.as_secs_f64()
    );
    ensure!(longest >= stall / 2, "the server did not stand still");
    ensure!(taken == sent, "each has to be taken once");
    Ok(())
}

fn smallest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
