//! The process that publishes with many distinct filters, all in one process.

use std::time::{Duration, Instant};

use anyhow::Result;
use qsse_server::Server;

use crate::payload;

/// Filters that each event matches.
pub(crate) const MATCHING: usize = 10;

/// Publishes between two looks at the clock.
const BURST: usize = 100;

/// Events before the window.
const WARM_UP: usize = 20_000;

/// Prints nanoseconds for each publish.
pub(crate) fn run(filters: usize, window: Duration) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = Server::bind("127.0.0.1:0").await?;
        let mut subscriptions = Vec::new();
        for number in 0..filters {
            // Ten share a topic, and each has one of its own that makes its filter another one.
            let patterns = [topic(number / MATCHING), format!("own.{number}")];
            subscriptions.push(server.subscribe(patterns).await?);
        }
        let topics: Vec<_> = (0..filters.div_ceil(MATCHING)).map(topic).collect();
        let data = payload::blank(payload::USUAL_BYTES);
        let mut next = topics.iter().cycle();
        let mut publish = |events: usize| -> Result<()> {
            for _ in 0..events {
                let topic = next.next().expect("it is endless");
                server.try_publish(topic, &data)?;
            }
            Ok(())
        };
        publish(WARM_UP)?;
        let (started, mut published) = (Instant::now(), 0);
        while started.elapsed() < window {
            publish(BURST)?;
            published += BURST;
        }
        println!("{}", started.elapsed().as_nanos() as f64 / published as f64);
        drop(subscriptions);
        Ok(())
    })
}

fn topic(number: usize) -> String {
    format!("shared.{number}")
}
