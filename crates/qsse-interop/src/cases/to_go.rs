//! A Go client and our server.

use anyhow::{Result, ensure};

use crate::Bench;
use crate::go::GoClient;
use crate::line::Line;
use crate::ours::{OurServer, payload};

/// A client that is connected, with its subscriptions.
pub(super) async fn connect(
    bench: &Bench,
    ours: &OurServer,
    arguments: &[&str],
) -> Result<GoClient> {
    let mut client = GoClient::start(&bench.peer, &bench.log, ours.address(), arguments)?;
    client.ready().await?;
    ours.subscriptions(1).await;
    Ok(client)
}

pub(super) async fn simple(bench: &Bench) -> Result<()> {
    let ours = OurServer::open().await?;
    let mut client = connect(bench, &ours, &["--topics", "people"]).await?;
    ours.publish("other", "nobody asked").await?;
    ours.publish("people", "Ada").await?;
    client.expect(Line::event("people", "Ada", "message")).await
}

/// What a client is given as the topic is its pattern, not the event's name: the library does that.
pub(super) async fn patterns(bench: &Bench) -> Result<()> {
    let ours = OurServer::open().await?;
    let topics = "ride.*,people.*.first";
    let mut client = connect(bench, &ours, &["--topics", topics]).await?;
    ours.publish("ride", "above it").await?;
    ours.publish("ride.7", "1").await?;
    ours.publish("people.7.last", "another").await?;
    ours.publish("people.7.first", "2").await?;
    ours.publish("ride.7.start", "3").await?;
    client.expect(Line::event("ride.*", "1", "message")).await?;
    let second = Line::event("people.*.first", "2", "message");
    client.expect(second).await?;
    client.expect(Line::event("ride.*", "3", "message")).await
}

pub(super) async fn multi_topic(bench: &Bench) -> Result<()> {
    let topics = ["firstnames", "lastnames", "ages"];
    let ours = OurServer::start(|builder| builder.topics(topics)).await?;
    let mut client = connect(bench, &ours, &["--topics", &topics.join(",")]).await?;
    for round in 0..10 {
        for topic in topics {
            ours.publish(topic, round.to_string()).await?;
        }
    }
    for round in 0..10 {
        for topic in topics {
            let event = Line::event(topic, round.to_string(), "message");
            client.expect(event).await?;
        }
    }
    Ok(())
}

/// An event that two of its patterns match reaches the client once, and the library calls both
/// handlers.
pub(super) async fn handlers(bench: &Bench) -> Result<()> {
    let ours = OurServer::open().await?;
    let arguments = ["--topics", "ride.1,ride.2,people"];
    let handlers = ["--handler", "ride.1", "--handler", "ride.*"];
    let mut client = connect(bench, &ours, &[&arguments[..], &handlers].concat()).await?;
    ours.publish("ride.1", "one").await?;
    ours.publish("ride.2", "two").await?;
    ours.publish("people", "three").await?;
    client.expect(Line::event("ride.1", "one", "event")).await?;
    client.expect(Line::event("ride.*", "one", "event")).await?;
    let second = Line::event("ride.2", "two", "message");
    client.expect(second).await?;
    client.expect(Line::event("ride.*", "two", "event")).await?;
    client
        .expect(Line::event("people", "three", "message"))
        .await
}

async fn with_token() -> Result<OurServer> {
    OurServer::start(|builder| builder.authenticator_fn(|token| token == "right")).await
}

pub(super) async fn right_token(bench: &Bench) -> Result<()> {
    let ours = with_token().await?;
    let arguments = ["--topics", "people", "--token", "right"];
    let mut client = connect(bench, &ours, &arguments).await?;
    ours.publish("people", "let in").await?;
    client
        .expect(Line::event("people", "let in", "message"))
        .await
}

/// The library's constructor fails, or the connection is lost at once; either way it saw code 1.
pub(super) async fn refused_token(bench: &Bench) -> Result<()> {
    let ours = with_token().await?;
    for token in [&["--token", "wrong"][..], &[]] {
        let arguments = [&["--topics", "people"], token].concat();
        let mut client = GoClient::start(&bench.peer, &bench.log, ours.address(), &arguments)?;
        let status = client.ended().await?;
        ensure!(status.code() == Some(1), "it ended with {status}");
    }
    let seen = bench.log.contains("Application error 0x1 (remote)");
    ensure!(seen, "the close code is not 1");
    ours.subscriptions(0).await;
    Ok(())
}

pub(super) async fn refused_topic(bench: &Bench) -> Result<()> {
    let allow = |_: &str, topic: &str| topic != "secret";
    let ours = OurServer::start(|builder| builder.authorizer_fn(allow)).await?;
    let arguments = ["--topics", "secret,people"];
    refused(bench, &ours, &arguments, &[(1, "secret")]).await
}

pub(super) async fn unavailable_topic(bench: &Bench) -> Result<()> {
    let ours = OurServer::start(|builder| builder.topics(["people"])).await?;
    let arguments = ["--topics", "people,nowhere,neither"];
    refused(bench, &ours, &arguments, &[(2, "nowhere"), (2, "neither")]).await
}

/// A pattern that our grammar does not have is refused as a topic that is not there.
pub(super) async fn pattern_that_is_none(bench: &Bench) -> Result<()> {
    let ours = OurServer::open().await?;
    let arguments = ["--topics", "people,ride..x"];
    refused(bench, &ours, &arguments, &[(2, "ride..x")]).await
}

/// Some topics are refused with an error each, and people is not.
async fn refused(
    bench: &Bench,
    ours: &OurServer,
    arguments: &[&str],
    refusals: &[(u64, &str)],
) -> Result<()> {
    let address = ours.address();
    let mut client = GoClient::start(&bench.peer, &bench.log, address, arguments)?;
    let errors = refusals.iter();
    let errors = errors.map(|&(code, topic)| Line::error(code, "topic", topic));
    let wanted = errors.chain([Line::Ready]).collect();
    client.expect_all(wanted).await?;
    ours.subscriptions(1).await;
    ours.publish("people", "allowed").await?;
    client
        .expect(Line::event("people", "allowed", "message"))
        .await
}

/// The connection stays, as with the library's server.
pub(super) async fn everything_refused(bench: &Bench) -> Result<()> {
    let ours = OurServer::start(|builder| builder.topics(["people"])).await?;
    let arguments = ["--topics", "nowhere"];
    let address = ours.address();
    let mut client = GoClient::start(&bench.peer, &bench.log, address, &arguments)?;
    let wanted = vec![Line::Ready, Line::error(2, "topic", "nowhere")];
    client.expect_all(wanted).await?;
    ensure!(
        ours.server.connection_count() == 1,
        "the connection is closed"
    );
    Ok(())
}

pub(super) async fn binary_and_empty(bench: &Bench) -> Result<()> {
    let ours = OurServer::open().await?;
    let mut client = connect(bench, &ours, &["--topics", "raw"]).await?;
    let every: Vec<u8> = (0..=255).collect();
    // Of each length modulo three, which is what base 64 pads.
    let all = [&every[..], b"", b"\0", b"\n\"\\", &every[1..]];
    for data in all {
        ours.publish("raw", data).await?;
    }
    for data in all {
        client.expect(Line::event("raw", data, "message")).await?;
    }
    Ok(())
}

pub(super) async fn one_mebibyte(bench: &Bench) -> Result<()> {
    let ours = OurServer::open().await?;
    let mut client = connect(bench, &ours, &["--topics", "large"]).await?;
    for number in 0..3 {
        ours.publish("large", payload(number, 1 << 20)).await?;
    }
    for number in 0..3 {
        let event = Line::event("large", payload(number, 1 << 20), "message");
        client.expect(event).await?;
    }
    Ok(())
}

pub(super) async fn in_order(bench: &Bench) -> Result<()> {
    const COUNT: u64 = 100_000;
    let ours = OurServer::open().await?;
    let count = COUNT.to_string();
    let arguments = ["--topics", "numbers", "--tally", "--count", &count];
    let mut client = connect(bench, &ours, &arguments).await?;
    ours.generate("numbers", COUNT, 128).await?;
    let tally = client.tally(COUNT).await?;
    ensure!(tally.count == COUNT && tally.in_order && tally.missing == 0);
    ensure!(tally.bytes == COUNT * 128, "{tally:?}");
    Ok(())
}

/// What is published on the topic that the dialect needs for errors would be taken for one.
pub(super) async fn error_topic(bench: &Bench) -> Result<()> {
    let ours = OurServer::open().await?;
    let mut client = connect(bench, &ours, &["--topics", "*"]).await?;
    ours.publish("error", r#"{"code":1}"#).await?;
    ours.publish("errors", "told").await?;
    client.expect(Line::event("*", "told", "message")).await
}

pub(super) async fn metrics(bench: &Bench) -> Result<()> {
    let ours = OurServer::start(|builder| builder.topics(["people", "ride.*"])).await?;
    let mut client = connect(bench, &ours, &["--topics", "people"]).await?;
    let subscribers = |topic| ours.figures.gauge("subscriber_count", Some(topic));
    ensure!(subscribers("people") == 1.0 && subscribers("ride.*") == 0.0);
    ours.publish("people", "Ada").await?;
    client
        .expect(Line::event("people", "Ada", "message"))
        .await?;
    let published = |topic| ours.figures.counter("event_count", Some(topic));
    crate::ours::until(|| published("people") == 1).await;
    crate::ours::until(|| ours.figures.counter("delivered_events", None) == 1).await;
    client.process.kill().await
}
