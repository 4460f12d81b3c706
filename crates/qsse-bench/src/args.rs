//! What the judge is asked to do.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::work::Peer;

/// Measures qsse against raw QUIC and against its peers, in the same run.
///
/// Server and clients are processes on two cores, systems alternate round by round, and figures are
/// medians.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
pub(crate) struct Args {
    /// What to measure [default: everything]
    scenarios: Vec<Scenario>,
    /// Where to write the figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where to draw fan-out throughput as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Rounds, in each of which every system has its turn
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Seconds of the window that counts
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
    /// Seconds before it
    #[arg(long, default_value_t = 1.5)]
    pub(crate) warm_up: f64,
    /// Numbers of subscribers for fan-out
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1_000])]
    pub(crate) subscribers: Vec<usize>,
    /// Sizes of events for fan-out
    #[arg(long, value_delimiter = ',', default_values_t = [128, 1_024])]
    pub(crate) event_bytes: Vec<usize>,
    /// Percent of the packets that are lost each way, for latency; takes Linux, `nft` and `ip`
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_values_t = [0.0], value_parser = percent)]
    pub(crate) loss: Vec<f64>,
    /// Packets no larger than Ethernet has them, 1,500 bytes with all headers, instead of the
    /// loopback's; takes Linux and `ip`
    #[arg(long)]
    pub(crate) ethernet: bool,
    /// Connections for memory
    #[arg(long, default_value_t = 5_000)]
    pub(crate) idle: usize,
    /// Let server and clients share all cores, instead of a core for each
    #[arg(long)]
    pub(crate) shared_cores: bool,
    /// Only these systems [default: all but qsse-shards]
    #[arg(long, value_delimiter = ',')]
    peers: Vec<Peer>,
    /// A nats-server; `cargo xtask bench` builds it where Go is installed
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) nats_server: Option<PathBuf>,
    /// A program around the Go library; `cargo xtask bench --go-qsse DIR` builds it from a copy of
    /// its repository
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) go_peer: Option<PathBuf>,
}

/// Something to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Deliveries a second, each event to each subscriber
    Fanout,
    /// How late events arrive at a fixed rate
    Latency,
    /// Connects a second, full and resumed
    Connect,
    /// What an idle subscriber costs the server
    Memory,
    /// What clients can publish
    Publish,
    /// What publishing costs with many distinct filters
    Filters,
    /// CPU for each delivery when there is little to do
    Calm,
    /// How late events reach those who are there while others keep connecting
    Storm,
}

impl Args {
    /// Those asked for, in their order.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        let asked =
            |scenario: &Scenario| self.scenarios.is_empty() || self.scenarios.contains(scenario);
        Scenario::value_variants()
            .iter()
            .copied()
            .filter(asked)
            .collect()
    }

    /// Whether a system takes part, if it is there.
    pub(crate) fn wants(&self, peer: Peer) -> bool {
        let by_default = self.peers.is_empty() && peer != Peer::QsseShards;
        by_default || self.peers.contains(&peer)
    }

    /// The greatest share of packets that are to be lost each way, in percent.
    pub(crate) fn greatest_loss(&self) -> f64 {
        match self.scenarios().contains(&Scenario::Latency) {
            true => self.loss.iter().copied().fold(0.0, f64::max),
            false => 0.0,
        }
    }

    /// The window that counts.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// The time before it.
    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up)
    }
}

impl Scenario {
    /// As it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fanout => "fanout",
            Self::Latency => "latency",
            Self::Connect => "connect",
            Self::Memory => "memory",
            Self::Publish => "publish",
            Self::Filters => "filters",
            Self::Calm => "calm",
            Self::Storm => "storm",
        }
    }
}

/// A share that leaves something to arrive.
fn percent(text: &str) -> Result<f64, String> {
    let percent: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match (0.0..=50.0).contains(&percent) {
        true => Ok(percent),
        false => Err("between 0 and 50, please".to_owned()),
    }
}
