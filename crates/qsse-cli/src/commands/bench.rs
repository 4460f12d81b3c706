//! `qsse bench`: loads a server and measures what comes of it.

use std::sync::Arc;

use anyhow::Result;
use bytesize::ByteSize;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use qsse_client::{Pattern, Topic};

use super::{Stop, Stopped, never_connected, print_result};
use crate::connect::lacking_in_go;
use crate::console;
use crate::exit::{Status, fail};
use crate::settings::Settings;
use crate::text::counted;

mod clock;
mod connections;
mod figures;
mod measure;
mod pace;
mod payload;
mod plan;
mod publishing;
mod receiving;
mod report;
mod sequence;

use connections::Connections;
use measure::{End, measure};
use plan::Plan;

/// Load a server, and measure how fast and how reliably events come
#[derive(Args)]
#[command(after_help = "\
Latency counts from when an event was due by the rate, not from when it was sent: a server that stalls is charged for
all that had to wait. With --rate 0 nothing is due, and it counts from the sending.

Examples:
  qsse bench                                             10 subscribers, 1,000 events a second
  qsse bench --rate 0 --publishers 4 --duration 30s      as fast as it goes
  qsse bench --topic bench.a --topic bench.b --pattern 'bench.*' --pattern bench.a
  qsse bench --publish-only --topic bench                from several machines: one publishes,
  qsse bench --subscribe-only --topic bench              the others subscribe; begin these first

Across machines latency has the difference of their clocks in it: keep them in step, or compare percentiles only.")]
pub(crate) struct Options {
    /// Subscribers, each with every event that its pattern matches
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    subscribers: u32,
    /// Publishers, each with a connection of its own, who take turns
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    publishers: u32,
    /// Events published a second, by all publishers together; 0 is as fast as they are acknowledged
    #[arg(long, value_name = "R", default_value_t = 1000)]
    rate: u64,
    /// Data of each event, at least 32 bytes
    #[arg(long, value_name = "SIZE", default_value = "128")]
    size: ByteSize,
    /// How long it measures
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    duration: humantime::Duration,
    /// How long it runs before that
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    warmup: humantime::Duration,
    /// A topic to publish to; may be repeated, then events go to each in turn
    #[arg(long = "topic", value_name = "TOPIC", default_value = "bench")]
    topics: Vec<Topic>,
    /// What a subscriber subscribes to; may be repeated, then subscribers take one each in turn [default: all topics]
    #[arg(long = "pattern", value_name = "PATTERN")]
    patterns: Vec<Pattern>,
    /// Subscribers that share a connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    per_connection: u32,
    /// Events of each publisher that may wait for their acknowledgement
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    in_flight: u32,
    /// Only publish: the subscribers are elsewhere
    #[arg(long, conflicts_with_all = ["subscribe_only", "subscribers", "patterns", "per_connection"])]
    publish_only: bool,
    /// Only subscribe: the publishers are elsewhere
    #[arg(long, conflicts_with_all = ["publishers", "rate", "size", "in_flight"])]
    subscribe_only: bool,
    /// End with status 9 when an event was lost, came twice or out of order
    #[arg(long)]
    fail_on_gap: bool,
    /// Print the result as a JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options, settings: &Settings) -> Result<Status> {
    let plan = Arc::new(Plan::new(&options)?);
    if plan.publishers > 0 {
        lacking_in_go(settings, "publishing: take --subscribe-only")?;
    }
    let stop = Stop::watch(settings)?;
    let connections = tokio::select! {
        biased;
        why = stop.wait() => return match why {
            Stopped::Signal => Ok(Status::Interrupted),
            Stopped::Timeout => Err(never_connected(settings)),
        },
        opened = Connections::open(&plan, options.per_connection as usize, settings) => opened?,
    };
    console::tell(format_args!(
        "{} and {} on {}, for {} and {} before that",
        counted(plan.filters.len() as u64, "subscriber"),
        counted(plan.publishers as u64, "publisher"),
        counted(connections.len() as u64, "connection"),
        options.duration,
        options.warmup,
    ));
    let (report, end) = measure(&options, plan, connections, &stop).await?;
    let shown = match options.json {
        true => serde_json::to_string(&report)?,
        false => report.text(),
    };
    let printed = print_result(shown, &stop).await;
    match end {
        End::Failed(error) => Err(error),
        _ if let Err(error) = printed => Err(error),
        End::Stopped(Stopped::Timeout) => Err(fail(
            Status::Unreachable,
            "time is up before it was measured",
        )),
        _ if report.unacknowledged() > 0 => Ok(Status::Unacknowledged),
        _ if options.fail_on_gap && !report.is_whole() => Ok(Status::Gap),
        _ => Ok(Status::Done),
    }
}
