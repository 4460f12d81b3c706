//! A server and a client in one program: random names, published on two topics, over QUIC.
//!
//! ```text
//! cargo run --example simple -- --count 20
//! ```

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use qsse::{Client, Server};

const FIRST_NAMES: [&str; 6] = ["Amara", "Bela", "Chidi", "Dilnoza", "Eirik", "Farah"];
const LAST_NAMES: [&str; 6] = ["Okafor", "Kovacs", "Lindqvist", "Rahimi", "Silva", "Tanaka"];

/// Publishes names and prints them as they arrive.
#[derive(Parser)]
struct Args {
    /// Events to publish before it ends
    #[arg(long, default_value_t = 8)]
    count: u32,
    /// Milliseconds between two events
    #[arg(long, default_value_t = 250)]
    interval: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();

    // Only clients with this token are accepted. Without TLS settings the server makes its own
    // certificate, and its fingerprint is part of the URL.
    let server = Server::bind("127.0.0.1:0")
        .topics(["people.first", "people.last"])
        .authenticator_fn(|token| token == "secret")
        .await?;
    let client = Client::connect(server.url()).token("secret").await?;
    let mut names = client.subscribe(["people.first", "people.last"]).await?;

    let publisher = server.clone();
    tokio::spawn(async move {
        for n in 0..args.count {
            let (topic, name) = match random(n) {
                r if r % 2 == 0 => ("people.first", FIRST_NAMES[r / 2 % FIRST_NAMES.len()]),
                r => ("people.last", LAST_NAMES[r / 2 % LAST_NAMES.len()]),
            };
            if let Err(error) = publisher.publish(topic, name).await {
                return eprintln!("not published: {error}");
            }
            tokio::time::sleep(Duration::from_millis(args.interval)).await;
        }
    });

    for _ in 0..args.count {
        let Some(event) = names.try_next().await? else {
            break;
        };
        println!("{} {}: {}", event.id(), event.topic(), event.text()?);
    }

    client.shutdown(Duration::from_secs(1)).await;
    server.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// Returns a number that is different in every run.
fn random(n: u32) -> usize {
    RandomState::new().hash_one(n) as usize
}
