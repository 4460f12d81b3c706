//! Our server and a Go client that reads late, is gone or is silent.

use std::time::Duration;

use anyhow::{Result, ensure};
use qsse_server::{Config, LogConfig, TransportConfig};

use super::to_go::connect;
use crate::Bench;
use crate::line::Line;
use crate::ours::{OurServer, payload, until};

/// More than the streams' windows and the feed hold: it is read from the history.
pub(super) async fn stopped_reader(bench: &Bench) -> Result<()> {
    const COUNT: u64 = 20_000;
    let ours = OurServer::open().await?;
    let arguments = ["--topics", "numbers", "--tally"];
    let mut client = connect(bench, &ours, &arguments).await?;
    client.process.pause()?;
    ours.generate("numbers", COUNT, 1_024).await?;
    client.process.go_on()?;
    let tally = client.tally(COUNT).await?;
    ensure!(tally.count == COUNT && tally.in_order && tally.missing == 0);
    Ok(())
}

/// Below the history there is a gap: the client is told, and goes on with what is kept.
pub(super) async fn stopped_beyond_history(bench: &Bench) -> Result<()> {
    const COUNT: u64 = 20_000;
    let log = LogConfig::default()
        .history_bytes(1 << 20)
        .feed_bytes(256 << 10);
    let ours = OurServer::start(|builder| builder.config(Config::default().log(log))).await?;
    let mut client = connect(bench, &ours, &["--topics", "numbers"]).await?;
    client.process.pause()?;
    ours.generate("numbers", COUNT, 1_024).await?;
    client.process.go_on()?;
    let (mut events, mut gaps, mut last) = (0, 0, None);
    while last != Some(COUNT - 1) {
        match client.next().await? {
            Line::Event { data, .. } => {
                let digits = data.split(|byte| *byte == b' ').next().unwrap_or_default();
                let number: u64 = std::str::from_utf8(digits)?.parse()?;
                let follows = last.map_or(number == 0, |last| number == last + 1);
                ensure!(
                    follows || gaps > 0,
                    "{number} after {last:?}, and no word of it"
                );
                ensure!(last < Some(number), "{number} after {last:?}");
                (events, last) = (events + 1, Some(number));
            }
            line => {
                ensure!(line == Line::error(5, "lost", true), "{line:?}");
                gaps += 1;
            }
        }
    }
    ensure!(gaps >= 1 && events < COUNT, "{gaps} gaps, {events} events");
    ours.publish("numbers", payload(COUNT, 0)).await?;
    let after = Line::event("numbers", payload(COUNT, 0), "message");
    client.expect(after).await
}

/// Killed, it says nothing more; the idle timeout ends its connection and its subscriptions.
pub(super) async fn gone(bench: &Bench) -> Result<()> {
    let ours = OurServer::start(|builder| builder.config(impatient())).await?;
    let arguments = ["--topics", "people,ride.*"];
    let mut client = connect(bench, &ours, &arguments).await?;
    let subscribers = || ours.figures.gauge("subscriber_count", None);
    // Topics on which nobody has published share one label.
    ensure!(subscribers() == 1.0, "{} subscribers", subscribers());
    client.process.kill().await?;
    until(|| subscribers() == 0.0 && ours.server.connection_count() == 0).await;
    ours.subscriptions(0).await;
    Ok(())
}

/// Go clients send no keep-alive of their own: ours hold the connection. The shorter timeout of
/// both sides counts, so a short one of ours shows in seconds what the usual one shows in minutes.
pub(super) async fn silence(bench: &Bench) -> Result<()> {
    let (config, quiet) = match bench.quiet {
        Some(quiet) => (Config::default(), quiet),
        None => (impatient(), Duration::from_secs(6)),
    };
    let ours = OurServer::start(|builder| builder.config(config)).await?;
    let mut client = connect(bench, &ours, &["--topics", "people"]).await?;
    tokio::time::sleep(quiet).await;
    ours.publish("people", "still there").await?;
    client
        .expect(Line::event("people", "still there", "message"))
        .await
}

/// A server that gives up clients that are silent for two seconds.
fn impatient() -> Config {
    let transport = TransportConfig::server().idle_timeout(Duration::from_secs(2));
    Config::default().transport(transport)
}
