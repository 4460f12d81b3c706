//! `qsse ping`: is a server there, and how far away?

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use qsse_client::Dialect;

use super::{Stop, Stopped};
use crate::connect::connect;
use crate::console::print;
use crate::exit::{Status, fail};
use crate::settings::Settings;

/// Connect to a server and measure the round trip
#[derive(Args)]
#[command(after_help = "\
Examples:
  qsse ping
  qsse ping -n 1 -s events.example.org && echo up")]
pub(crate) struct Options {
    /// How many round trips
    #[arg(short = 'n', long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// The time between two
    #[arg(long, value_name = "DURATION", default_value = "200ms")]
    interval: humantime::Duration,
}

pub(crate) async fn run(options: Options, settings: &Settings) -> Result<Status> {
    let stop = Stop::watch(settings)?;
    tokio::select! {
        biased;
        why = stop.wait() => match why {
            Stopped::Signal => Ok(Status::Interrupted),
            Stopped::Timeout => Err(fail(Status::Unreachable, "time is up before every answer came")),
        },
        done = measure(&options, settings) => done.map(|()| Status::Done),
    }
}

async fn measure(options: &Options, settings: &Settings) -> Result<()> {
    let begun = Instant::now();
    let client = connect(settings)?.await?;
    let took = shown(begun.elapsed());
    let server = settings.text("server");
    print(format_args!("connected to {server} in {took}")).await?;
    if client.dialect() == Dialect::Go {
        if let Some(time) = client.rtt() {
            print(format_args!(
                "round trip {}, measured while connecting: the Go library's protocol has no question to ask",
                shown(time)
            ))
            .await?;
        }
        return Ok(());
    }
    let mut times = Vec::new();
    for number in 1..=options.count {
        if number > 1 {
            tokio::time::sleep(options.interval.into()).await;
        }
        let time = client.ping().await?;
        print(format_args!("answer {number} in {}", shown(time))).await?;
        times.push(time);
    }
    let (Some(min), Some(max)) = (times.iter().min(), times.iter().max()) else {
        return Ok(());
    };
    let count = u32::try_from(times.len()).context("too many round trips")?;
    let mean = times.iter().sum::<Duration>() / count;
    print(format_args!(
        "min {}, mean {}, max {}",
        shown(*min),
        shown(mean),
        shown(*max)
    ))
    .await?;
    Ok(())
}

fn shown(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
