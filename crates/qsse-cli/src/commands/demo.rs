//! `qsse demo`: a server, publishers and subscribers in one process, over real QUIC on this
//! machine.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use hdrhistogram::Histogram;
use qsse_client::{Client, Event, Subscription};
use qsse_server::{ByGrants, Server, ServerTls};

use crate::console::print;
use crate::exit::Status;
use crate::serve::access::Access;
use crate::signals::Signals;
use crate::text::{self, counted, thousands};

/// Show events flowing from publishers to subscribers for a few seconds
#[derive(Args)]
#[command(after_help = "\
Everything runs in this process, over encrypted connections on the loopback interface. Nothing is stored.")]
pub(crate) struct Options {
    /// How long it takes, approximately
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// The subscribers during the measurements.
const SUBSCRIBERS: usize = 3;
/// The time between two events while latency is measured.
const CALM: Duration = Duration::from_millis(1);
/// The data of a measured event: a time, and padding.
const DATA_BYTES: usize = 128;
/// How many events the fast publisher sends between two looks at the subscribers.
const BURST: u64 = 1000;

pub(crate) async fn run(options: Options) -> Result<Status> {
    let signals = Signals::watch()?;
    tokio::select! {
        biased;
        () = signals.first() => Ok(Status::Interrupted),
        shown = show(Duration::from_secs(options.seconds)) => shown.map(|()| Status::Done),
    }
}

async fn show(time: Duration) -> Result<()> {
    let tls = ServerTls::self_signed([] as [&str; 0])?;
    let server = Server::bind("127.0.0.1:0")
        .tls(tls)
        .authenticator(Access::Local.authenticator().await?)
        .authorizer(ByGrants)
        .await?;
    print(format_args!(
        "A server on {}, over QUIC and TLS 1.3.\n",
        server.local_addr()
    ))
    .await?;
    see(&server, time * 2 / 5).await?;
    let fast = rate(&server, time * 3 / 10).await?;
    let calm = latency(&server, time * 3 / 10).await?;
    print(format_args!(
        "\nAt full speed: {} a second published, {} a second delivered to {SUBSCRIBERS} subscribers \
         ({DATA_BYTES} bytes each).",
        counted(fast.published, "event"),
        thousands(fast.delivered),
    ))
    .await?;
    print(format_args!(
        "At {} a second, from publish to a subscriber: half within {}, 99% within {}, all {} \
         within {}.",
        counted((1.0 / CALM.as_secs_f64()) as u64, "event"),
        millis(calm.value_at_quantile(0.5)),
        millis(calm.value_at_quantile(0.99)),
        thousands(calm.len()),
        millis(calm.max()),
    ))
    .await?;
    if cfg!(debug_assertions) {
        print("This is a debug build: a release build is several times faster.").await?;
    }
    let program = text::program();
    print(format_args!(
        "\nNow try it yourself, each command in its own terminal:\n\n  {program} serve\n  {program} sub 'ride.*'\n  {program} pub ride.7.start '{{\"driver\":\"Ada\"}}'\n\n\
         {program} --help shows more."
    ))
    .await?;
    server.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// Publishes a few events per second, for people to read.
async fn see(server: &Server, time: Duration) -> Result<()> {
    const STORY: &[(&str, &str)] = &[
        ("ride.7.start", r#"{"driver":"Ada","to":"harbour"}"#),
        ("people", "Grace came online"),
        ("ride.8.start", r#"{"driver":"Alan","to":"station"}"#),
        ("ride.7.position", r#"{"lat":52.37,"lon":4.89}"#),
        ("weather.harbour", "rain in 10 minutes"),
        ("ride.7.end", r#"{"minutes":12}"#),
        ("ride.8.position", r#"{"lat":52.38,"lon":4.90}"#),
        ("people", "Edsger left"),
    ];
    const PATTERNS: &[&str] = &["ride.*.start", "ride.*", "people"];
    let step = Duration::from_millis(300);

    let publisher = Client::connect(server.url()).await?;
    for pattern in PATTERNS {
        let subscriber = Client::connect(server.url()).await?;
        let mut events = subscriber.subscribe(*pattern).await?;
        print(format_args!("A subscriber to {pattern}")).await?;
        tokio::spawn(async move {
            while let Some(Ok(event)) = events.next().await {
                if print(received(pattern, &event)).await.is_err() {
                    return;
                }
            }
        });
    }
    print("").await?;
    let begun = Instant::now();
    for (topic, data) in STORY.iter().cycle() {
        if begun.elapsed() >= time {
            return Ok(());
        }
        publisher.publish(topic, data).await?;
        tokio::time::sleep(step).await;
    }
    Ok(())
}

fn received(pattern: &str, event: &Event) -> String {
    let (topic, data) = (event.topic().as_str(), event.text().unwrap_or_default());
    format!("  {pattern:13} got  {topic:16} {data}")
}

/// The rate of a second.
struct Rate {
    published: u64,
    delivered: u64,
}

/// Publishes as fast as the subscribers can follow.
async fn rate(server: &Server, time: Duration) -> Result<Rate> {
    print("\nMeasuring …").await?;
    let mut counters = Vec::new();
    let (tell, told) = tokio::sync::watch::channel(0_u64);
    for _ in 0..SUBSCRIBERS {
        let (mut events, tell) = (subscribe(server, "demo.fast").await?, tell.clone());
        counters.push(tokio::spawn(async move {
            let mut count = 0_u64;
            while let Some(Ok(event)) = events.next().await {
                if event.data().is_empty() {
                    break;
                }
                count += 1;
                if count.is_multiple_of(BURST / 2) {
                    tell.send_modify(|sum| *sum += BURST / 2);
                }
            }
            count
        }));
    }
    let client = Client::connect(server.url()).await?;
    let publisher = client.publisher();
    let begun = Instant::now();
    let mut published = 0;
    while begun.elapsed() < time {
        for _ in 0..BURST {
            publisher.send("demo.fast", [b'x'; DATA_BYTES]).await?;
        }
        published += BURST;
        // Stays close to the subscribers, so that the result also holds for longer runs.
        let mut told = told.clone();
        let behind = (published * SUBSCRIBERS as u64).saturating_sub(BURST * 64);
        let caught_up = told.wait_for(|sum| *sum >= behind);
        let _ = tokio::time::timeout(time, caught_up).await;
    }
    publisher.send("demo.fast", []).await?;
    publisher.flush().await?;
    let mut delivered = 0;
    for counter in counters {
        delivered += counter.await.context("a subscriber of the demo failed")?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let per_second = |count: u64| (count as f64 / seconds) as u64;
    Ok(Rate {
        published: per_second(published),
        delivered: per_second(delivered),
    })
}

/// Publishes at a low rate, and measures the time until subscribers have an event, in microseconds.
async fn latency(server: &Server, time: Duration) -> Result<Histogram<u64>> {
    let origin = Instant::now();
    let micros = move || u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut histograms = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let mut events = subscribe(server, "demo.calm").await?;
        histograms.push(tokio::spawn(async move {
            let mut histogram = Histogram::<u64>::new(3)?;
            while let Some(Ok(event)) = events.next().await {
                let Some(sent) = event.data().first_chunk::<8>() else {
                    break;
                };
                histogram.record(micros().saturating_sub(u64::from_le_bytes(*sent)))?;
            }
            anyhow::Ok(histogram)
        }));
    }
    let client = Client::connect(server.url()).await?;
    let publisher = client.publisher();
    let mut tick = tokio::time::interval(CALM);
    let mut data = [b'x'; DATA_BYTES];
    while origin.elapsed() < time {
        tick.tick().await;
        data[..8].copy_from_slice(&micros().to_le_bytes());
        publisher.send("demo.calm", data).await?;
    }
    publisher.send("demo.calm", []).await?;
    publisher.flush().await?;
    let mut all = Histogram::new(3)?;
    for histogram in histograms {
        all.add(
            histogram
                .await
                .context("a subscriber of the demo failed")??,
        )?;
    }
    Ok(all)
}

async fn subscribe(server: &Server, topic: &str) -> Result<Subscription> {
    let client = Client::connect(server.url()).await?;
    Ok(client.subscribe(topic).await?)
}

fn millis(micros: u64) -> String {
    format!("{:.2} ms", micros as f64 / 1000.0)
}
