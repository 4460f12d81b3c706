//! What the load, the watchers and the judge share.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use qsse_client::{Config, ReconnectPolicy, TransportConfig};

/// The topic of the last event of all.
pub(super) const END: &str = "end";

/// Nothing that is waited for takes this long unless something is wrong.
pub(super) const GUARD: Duration = Duration::from_secs(60);

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Acknowledge {
    Memory,
    Written,
    Synced,
}

/// Returns the settings of a client that notices a dead server soon: it probes after 200 ms of
/// silence, and gives the server up after three seconds.
pub(super) fn impatient() -> Config {
    let transport = TransportConfig::client()
        .keep_alive(Duration::from_millis(200))
        .idle_timeout(Duration::from_secs(3));
    let reconnect = ReconnectPolicy::backoff(Duration::from_millis(20), Duration::from_millis(200));
    Config::default()
        .transport(transport)
        .reconnect(reconnect)
        .connect_timeout(Duration::from_secs(1))
}

/// Waits for a condition. Fails if it does not come.
pub(super) async fn until(what: &str, condition: impl Fn() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !condition() {
        ensure!(begun.elapsed() < GUARD, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
