//! The program `qsse` and Go peers.

use anyhow::{Result, ensure};

use crate::Bench;
use crate::go::{GoClient, GoServer};
use crate::line::Line;
use crate::ours::client;
use crate::program::{Program, ServeProgram};
use qsse_client::{Client, Dialect};

/// Go clients are let in without a setting.
pub(super) async fn serve_and_go_client(bench: &Bench) -> Result<()> {
    let server = ServeProgram::start(bench.qsse()?, &bench.log).await?;
    let arguments = ["--topics", "people"];
    let mut client = GoClient::start(&bench.peer, &bench.log, server.address, &arguments)?;
    client.ready().await?;
    server.subscriptions(1).await?;
    let publisher = Client::connect(server.address.to_string())
        .insecure()
        .await?;
    ensure!(publisher.dialect() == Dialect::Qsse, "the lesser of two");
    publisher.publish("people", "Ada").await?;
    client.expect(Line::event("people", "Ada", "message")).await
}

pub(super) async fn sub_and_go_server(bench: &Bench) -> Result<()> {
    let arguments = ["--topics", "people", "--token", "right"];
    let mut server = GoServer::start(&bench.peer, &bench.log, &arguments).await?;
    let url = format!(
        "qsse://{}?fingerprint={}",
        server.address, server.fingerprint
    );
    for (dialect, count) in [("go", 1), ("auto", 2)] {
        let arguments = ["sub", "-s", &url, "--dialect", dialect, "--token", "right"];
        let arguments = [&arguments[..], &["--json", "--count", "2", "people"]].concat();
        let mut ours = Program::start(bench.qsse()?, &bench.log, &arguments)?;
        // The library's server counts a client that has left until it writes to it.
        if bench.peer.name == "real" {
            server.subscribers("people", count).await?;
        } else {
            server.subscribers("people", 1).await?;
        }
        for number in 1..=2 {
            server.publish("people", format!("hi {number}")).await?;
            let line = ours.next().await?;
            let data = format!(r#""data":"hi {number}""#);
            ensure!(
                line.contains(&data) && line.contains(r#""topic":"people""#),
                "{line}"
            );
        }
        let status = ours.process.child().wait().await?;
        ensure!(status.success(), "sub ended with {status}");
    }
    Ok(())
}

/// There is no way to publish to a Go server from outside; the program says so.
pub(super) async fn pub_and_go_server(bench: &Bench) -> Result<()> {
    let server = GoServer::start(&bench.peer, &bench.log, &["--topics", "people"]).await?;
    let address = server.address.to_string();
    let arguments = ["pub", "-s", &address, "--insecure", "people", "hi"];
    let mut ours = Program::start(bench.qsse()?, &bench.log, &arguments)?;
    let status = ours.process.child().wait().await?;
    ensure!(!status.success(), "pub says that it went well");
    let client = client(server.address).dialect(Dialect::Qsse).await;
    ensure!(client.is_err(), "a Go server that speaks qsse/1");
    Ok(())
}
