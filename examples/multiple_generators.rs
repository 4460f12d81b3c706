//! Several generators publish random text on random topics, and several clients print it.
//!
//! ```text
//! cargo run --example multiple_generators -- --generators 4 --rate 100 --client 2
//! ```

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use qsse::{Client, Server};

const TOPICS: [&str; 3] = ["topic1", "topic2", "topic3"];

/// Runs generators in a server, and clients that print what they publish.
#[derive(Parser)]
struct Args {
    /// Number of generators, each with one topic
    #[arg(long, default_value_t = 1)]
    generators: u32,
    /// Milliseconds between two events of one generator
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// Number of clients, each with its own connection
    #[arg(long, default_value_t = 1)]
    client: u32,
    /// Seconds until it ends; 0 runs until it is interrupted
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let server = Server::bind("127.0.0.1:0").topics(TOPICS).await?;

    let mut clients = Vec::new();
    for number in 0..args.client {
        let client = Client::connect(server.url()).await?;
        let mut events = client.subscribe(TOPICS).await?;
        clients.push(tokio::spawn(async move {
            // The subscription keeps its connection open, and ends after the server has.
            while let Ok(Some(event)) = events.try_next().await {
                let text = String::from_utf8_lossy(event.data());
                println!("client {number} {}: {text}", event.topic());
            }
        }));
    }
    for _ in 0..args.generators {
        tokio::spawn(generate(server.clone(), Duration::from_millis(args.rate)));
    }

    let over = async {
        match args.seconds {
            0 => std::future::pending().await,
            seconds => tokio::time::sleep(Duration::from_secs(seconds)).await,
        }
    };
    tokio::select! {
        () = over => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    server.shutdown(Duration::from_secs(2)).await;
    // The clients would try to reconnect for ever.
    clients.iter().for_each(|client| client.abort());
    Ok(())
}

/// Publishes until the server accepts no more.
async fn generate(server: Server, rate: Duration) {
    let topic = TOPICS[random(0) as usize % TOPICS.len()];
    for n in 0_u64.. {
        if let Err(error) = server.publish(topic, random_text(n)).await {
            return eprintln!("a generator ends: {error}");
        }
        tokio::time::sleep(rate).await;
    }
}

/// Returns ten random letters.
fn random_text(n: u64) -> String {
    let letters = |shift: u32| char::from(b'a' + (random(n) >> shift) as u8 % 26);
    (0..10).map(|place| letters(place * 5)).collect()
}

fn random(n: u64) -> u64 {
    RandomState::new().hash_one(n)
}
