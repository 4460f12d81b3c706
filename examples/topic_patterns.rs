//! Wildcards, with handlers instead of a loop, as in the Go library.
//!
//! A `*` in the middle of a pattern matches exactly one segment; at the end it matches one or more.
//!
//! ```text
//! cargo run --example topic_patterns
//! ```

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use qsse::{Client, Event, Handlers, Server};

/// Publishes rides and shows which handlers get which event.
#[derive(Parser)]
struct Args {
    /// Rides to publish before it ends
    #[arg(long, default_value_t = 3)]
    count: u32,
    /// Milliseconds between two rides
    #[arg(long, default_value_t = 500)]
    interval: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();

    // `ride.*` declares all topics that it matches. The second closure gets the token and the
    // topic, for subscribing only.
    let server = Server::bind("127.0.0.1:0")
        .topics(["ride.*", "weather"])
        .authenticator_fn(|token| token == "secret")
        .authorizer_fn(|_token, topic| !topic.ends_with(".price"))
        .await?;

    let client = Client::connect(server.url()).token("secret").await?;
    // All handlers share one subscription. For each event, the handlers that match run one after
    // the other.
    let handlers = Handlers::new()
        .on("ride.1.start", |event| show("ride.1.start", event))
        .on("ride.*.start", |event| show("ride.*.start", event))
        .on("ride.*.end", |event| show("ride.*.end", event))
        .topics("*")
        .on_message(|event| show("(no handler)", event))
        .on_notice(async |notice| eprintln!("{notice}"))
        .on_error(async |error| eprintln!("{error}"));
    let running = client.handle(handlers).await?;

    for ride in 1..=args.count {
        server
            .publish(format!("ride.{ride}.start"), "at the station")
            .await?;
        // No token may read this topic, so no wildcard delivers it.
        server
            .publish(format!("ride.{ride}.price"), "12.50")
            .await?;
        server
            .publish(format!("ride.{ride}.end"), "at the harbour")
            .await?;
        tokio::time::sleep(Duration::from_millis(args.interval)).await;
    }
    // Publishes to every topic that the pattern matches, among those that were declared by name or
    // have an event.
    let published = server
        .publish_matching("ride.*.end", "thank you for riding with us")
        .await?;
    println!("published to {} topics at once", published.count());
    server.publish("weather", "sunny").await?;

    // Draining lets every subscriber read to the end.
    server.shutdown(Duration::from_secs(2)).await;
    running.stop().await;
    Ok(())
}

async fn show(pattern: &str, event: Event) {
    let text = String::from_utf8_lossy(event.data());
    println!("{pattern:14} got {}: {text}", event.topic());
}
