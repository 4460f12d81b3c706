//! [`Part`]: one process of the measurement, and what it is given.

use std::path::PathBuf;

/// Arguments of one process.
#[derive(clap::Args)]
pub(crate) struct Part {
    pub(super) which: Which,
    pub(super) publishers: usize,
    #[arg(long)]
    pub(super) seconds: f64,
    #[arg(long)]
    pub(super) slower_us: u64,
    #[arg(long)]
    pub(super) dir: PathBuf,
    #[arg(long, default_value_t = 1)]
    pub(super) connections: usize,
    #[arg(long)]
    pub(super) url: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Which {
    /// The store's own loop.
    Bare,
    /// Server and publishers in one process.
    Inside,
    /// A server.
    Serve,
    /// Publishers over the network.
    Load,
}
