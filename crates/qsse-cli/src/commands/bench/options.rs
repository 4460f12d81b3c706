//! [`Options`]: the command line of `qsse bench`.

use bytesize::ByteSize;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use qsse_client::{Pattern, Topic};

/// Load a server, and measure how fast and how reliably events arrive
#[derive(Args)]
#[command(after_help = "\
Latency counts from when an event was due at this rate, not from when it was sent. So a server that stalls is charged
for every event that had to wait. With --rate 0 no event is due, and latency counts from sending.

Examples:
  qsse bench                                             10 subscribers, 1,000 events a second
  qsse bench --rate 0 --publishers 4 --duration 30s      as fast as possible
  qsse bench --topic bench.a --topic bench.b --pattern 'bench.*' --pattern bench.a
  qsse bench --publish-only --topic bench                from several machines: one publishes,
  qsse bench --subscribe-only --topic bench              the others subscribe; start these first

Across machines, latency includes the difference of their clocks: synchronise them, or only compare percentiles.")]
pub(crate) struct Options {
    /// Subscribers; each gets every event that its pattern matches
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    pub(super) subscribers: u32,
    /// Publishers; each has its own connection, and they take turns
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    pub(super) publishers: u32,
    /// Events per second of all publishers together; 0 means as fast as they are acknowledged
    #[arg(long, value_name = "R", default_value_t = 1000)]
    pub(super) rate: u64,
    /// Size of each event's data, at least 32 bytes
    #[arg(long, value_name = "SIZE", default_value = "128")]
    pub(super) size: ByteSize,
    /// How long to measure
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub(super) duration: humantime::Duration,
    /// How long to run before measuring
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub(super) warmup: humantime::Duration,
    /// A topic to publish to; if repeated, events go to each in turn
    #[arg(long = "topic", value_name = "TOPIC", default_value = "bench")]
    pub(super) topics: Vec<Topic>,
    /// A pattern to subscribe to; if repeated, subscribers take one each in turn [default: all
    /// topics]
    #[arg(long = "pattern", value_name = "PATTERN")]
    pub(super) patterns: Vec<Pattern>,
    /// Subscribers per connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    pub(super) per_connection: u32,
    /// Events of each publisher that may wait for their acknowledgement
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    pub(super) in_flight: u32,
    /// Only publish, because the subscribers are elsewhere
    #[arg(long, conflicts_with_all = ["subscribe_only", "subscribers", "patterns", "per_connection"])]
    pub(super) publish_only: bool,
    /// Only subscribe, because the publishers are elsewhere
    #[arg(long, conflicts_with_all = ["publishers", "rate", "size", "in_flight"])]
    pub(super) subscribe_only: bool,
    /// End with status 9 if an event was lost, duplicated or out of order
    #[arg(long)]
    pub(super) fail_on_gap: bool,
    /// Print the result as a JSON object
    #[arg(long)]
    pub(super) json: bool,
}
