//! Our client and a Go server: trust, silence, losses, and what the dialect has no words for.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use qsse_client::{Client, Config, Dialect, Start, TransportConfig};

use crate::Bench;
use crate::go::{GoServer, free_port};
use crate::ours::{client, expect, notice};
use crate::program::Program;

/// An RSA key, no name, no dates: recognised by its fingerprint, or not at all.
pub(super) async fn certificate(bench: &Bench) -> Result<()> {
    let mut server = start(bench).await?;
    let GoServer {
        address,
        fingerprint,
        ..
    } = &server;
    let other = "0".repeat(64);
    let connect = async |fingerprint: &str| {
        let url = format!("qsse://{address}?fingerprint={fingerprint}");
        Client::connect(url).dialect(Dialect::Go).await
    };
    ensure!(connect(&other).await.is_err(), "any fingerprint will do");
    let nobody = Client::connect(address.to_string()).dialect(Dialect::Go);
    ensure!(nobody.await.is_err(), "a certificate that nobody signed");

    let pinned = connect(fingerprint).await?;
    let insecure = client(*address).await?;
    let mut first = pinned.subscribe("people").await?;
    let mut second = insecure.subscribe("people").await?;
    server.subscribers("people", 2).await?;
    server.publish("people", "Ada").await?;
    expect(&mut first, "people", "Ada").await?;
    expect(&mut second, "people", "Ada").await
}

async fn start(bench: &Bench) -> Result<GoServer> {
    GoServer::start(&bench.peer, &bench.log, &["--topics", "people"]).await
}

/// The server has no keep-alive of its own either; that of our client is enough.
pub(super) async fn silence(bench: &Bench) -> Result<()> {
    let mut server = start(bench).await?;
    let (config, quiet) = match bench.quiet {
        Some(quiet) => (Config::default(), quiet),
        None => (impatient(), Duration::from_secs(6)),
    };
    let client = Client::connect(server.address.to_string())
        .config(config.dialect(Dialect::Go))
        .insecure()
        .await?;
    let mut people = client.subscribe("people").await?;
    server.subscribers("people", 1).await?;
    tokio::time::sleep(quiet).await;
    server.publish("people", "still there").await?;
    expect(&mut people, "people", "still there").await
}

/// A client that gives up a server that is silent for two seconds; the shorter timeout of both
/// sides counts.
fn impatient() -> Config {
    let transport = TransportConfig::default().idle_timeout(Duration::from_secs(2));
    Config::default().transport(transport)
}

/// A server that is started again has another certificate and remembers nothing.
pub(super) async fn restart(bench: &Bench) -> Result<()> {
    let address = free_port()?;
    let arguments = ["--topics", "people"];
    let start = async || GoServer::start_at(&bench.peer, &bench.log, address, &arguments).await;
    let mut server = start().await?;
    let client = Client::connect(address.to_string())
        .config(impatient().dialect(Dialect::Go))
        .insecure()
        .await?;
    let mut people = client.subscribe("people").await?;
    server.subscribers("people", 1).await?;
    server.publish("people", "before").await?;
    expect(&mut people, "people", "before").await?;

    server.process.kill().await?;
    let mut server = start().await?;
    let lost = notice(&mut people).await?;
    ensure!(lost.to_string().contains("lost"), "{lost}");
    server.subscribers("people", 1).await?;
    server.publish("people", "after").await?;
    expect(&mut people, "people", "after").await
}

/// A client of ours that is killed: the library's server finds out when it writes to a connection
/// that is over.
pub(super) async fn gone(bench: &Bench) -> Result<()> {
    let mut server = start(bench).await?;
    let address = server.address.to_string();
    let settings = tempfile::NamedTempFile::new()?;
    std::fs::write(settings.path(), "[client]\nidle_timeout = \"2s\"\n")?;
    let settings = settings.path().to_str().context("a path in UTF-8")?;
    let arguments = ["sub", "--config", settings, "-s", &address, "--insecure"];
    let arguments = [&arguments[..], &["--dialect", "go", "--json", "people"]].concat();
    let mut ours = Program::start(bench.qsse()?, &bench.log, &arguments)?;
    server.subscribers("people", 1).await?;
    server.publish("people", "Ada").await?;
    let line = ours.next().await?;
    ensure!(line.contains(r#""data":"Ada""#), "{line}");
    ours.process.kill().await?;
    server.abandoned("people").await
}

/// Positions, other answers to lag and publishing: errors that say so, never ignored.
pub(super) async fn what_it_cannot(bench: &Bench) -> Result<()> {
    let mut server = start(bench).await?;
    let client = client(server.address).await?;
    let start = client.subscribe("people").start(Start::Earliest).await;
    let error = start.err().context("a start from the oldest event")?;
    ensure!(!error.is_retryable(), "{error}");
    let error = client.publish("people", "Ada").await;
    let error = error.err().context("published to a Go server")?;
    ensure!(!error.is_retryable(), "{error}");

    let mut people = client.subscribe("people").await?;
    server.subscribers("people", 1).await?;
    server.publish("people", "as ever").await?;
    expect(&mut people, "people", "as ever").await
}
