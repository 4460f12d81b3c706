//! `qsse ping`: tells whether a server answers, and how fast.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use qsse_client::{Client, Dialect};

use crate::connect::connect;
use crate::console::print;
use crate::exit::{Status, fail};
use crate::settings::Settings;
use crate::stop::{Stop, Stopped, never_connected};

/// Connect to a server and measure the round trip
#[derive(Args)]
#[command(after_help = "\
Examples:
  qsse ping
  qsse ping -n 1 -s events.example.org && echo up")]
pub(crate) struct Options {
    /// Number of round trips
    #[arg(short = 'n', long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Time between two round trips
    #[arg(long, value_name = "DURATION", default_value = "200ms")]
    interval: humantime::Duration,
}

pub(crate) async fn run(options: Options, settings: &Settings) -> Result<Status> {
    let stop = Stop::watch(settings)?;
    let begun = Instant::now();
    let client = tokio::select! {
        biased;
        why = stop.wait() => return match why {
            Stopped::Signal => Ok(Status::Interrupted),
            Stopped::Timeout => Err(never_connected(settings)),
        },
        client = connect(settings)? => client?,
    };
    tokio::select! {
        biased;
        why = stop.wait() => match why {
            Stopped::Signal => Ok(Status::Interrupted),
            Stopped::Timeout => Err(fail(Status::Unreachable, "time is up before every answer arrived")),
        },
        done = report(&client, begun.elapsed(), &options, settings) => done.map(|()| Status::Done),
    }
}

async fn report(
    client: &Client,
    connected: Duration,
    options: &Options,
    settings: &Settings,
) -> Result<()> {
    let took = shown(connected);
    let server = settings.text("server");
    print(format_args!("connected to {server} in {took}")).await?;
    if client.dialect() == Dialect::Go {
        if let Some(time) = client.rtt() {
            print(format_args!(
                "round trip {}, measured while connecting: the Go library's protocol has no ping",
                shown(time)
            ))
            .await?;
        }
        return Ok(());
    }
    let ask = async || Ok(client.ping().await?);
    let tell = async |number, time| {
        print(format_args!("answer {number} in {}", shown(time))).await?;
        Ok(())
    };
    let times = measure(options.count, options.interval.into(), ask, tell).await?;
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

/// Measures `count` round trips. An additional first one is not counted, because both sides do some
/// work only once.
async fn measure(
    count: u64,
    interval: Duration,
    ask: impl AsyncFn() -> Result<Duration>,
    tell: impl AsyncFn(u64, Duration) -> Result<()>,
) -> Result<Vec<Duration>> {
    ask().await?;
    let mut times = Vec::new();
    for number in 1..=count {
        if number > 1 {
            tokio::time::sleep(interval).await;
        }
        let time = ask().await?;
        tell(number, time).await?;
        times.push(time);
    }
    Ok(times)
}

fn shown(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[tokio::test]
    async fn the_first_question_is_not_counted() {
        let asked = Cell::new(0);
        let ask = async || {
            asked.set(asked.get() + 1);
            Ok(Duration::from_millis(if asked.get() == 1 {
                900
            } else {
                2
            }))
        };
        let told = RefCell::new(Vec::new());
        let tell = async |number, time| {
            told.borrow_mut().push((number, time));
            Ok(())
        };
        let time = Duration::from_millis(2);
        let times = measure(2, Duration::ZERO, ask, tell).await.unwrap();
        assert_eq!(times, [time, time]);
        assert_eq!(told.into_inner(), [(1, time), (2, time)]);
    }
}
