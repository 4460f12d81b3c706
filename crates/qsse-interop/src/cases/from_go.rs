//! Our client and a Go server.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::join_all;
use qsse_client::{Client, Code, Dialect, Handlers, Item, Notice, Subscription};
use tokio::sync::mpsc::unbounded_channel;

use crate::Bench;
use crate::go::GoServer;
use crate::http;
use crate::ours::{client, event, expect, expect_numbers, notice, payload};

async fn server(bench: &Bench, arguments: &[&str]) -> Result<GoServer> {
    GoServer::start(&bench.peer, &bench.log, arguments).await
}

/// Subscribes to topics that the server has all, and waits until it knows.
async fn subscribe(server: &mut GoServer, topics: &[&str]) -> Result<(Client, Subscription)> {
    let client = client(server.address).await?;
    let subscription = client.subscribe(topics).await?;
    for topic in topics {
        server.subscribers(topic, 1).await?;
    }
    Ok((client, subscription))
}

pub(super) async fn simple(bench: &Bench) -> Result<()> {
    let mut server = server(bench, &["--topics", "people,other"]).await?;
    let (_client, mut people) = subscribe(&mut server, &["people"]).await?;
    server.publish("other", "nobody asked").await?;
    server.publish("people", "Ada").await?;
    expect(&mut people, "people", "Ada").await
}

/// Without being told, the client finds out what the server speaks.
pub(super) async fn negotiated(bench: &Bench) -> Result<()> {
    let mut server = server(bench, &["--topics", "people"]).await?;
    let client = Client::connect(server.address.to_string()).insecure();
    let client = client.await?;
    let dialect = client.dialect();
    ensure!(dialect == Dialect::Go, "the client takes it for {dialect}");
    let mut people = client.subscribe("people").await?;
    server.subscribers("people", 1).await?;
    server.publish("people", "Ada").await?;
    expect(&mut people, "people", "Ada").await
}

/// The server takes a pattern for publishing as we do for subscribing. Subscribed to is only what
/// was declared by that very text, and the events then come on that text: on a pattern, which for
/// us is no name of a topic.
pub(super) async fn patterns(bench: &Bench) -> Result<()> {
    let mut server = server(bench, &["--topics", "ride.*,ride.1,ride.2,people"]).await?;
    let (_client, mut rides) = subscribe(&mut server, &["ride.1", "ride.2"]).await?;
    server.publish("ride.*", "all").await?;
    let mut topics = Vec::new();
    for _ in 0..2 {
        let event = event(&mut rides).await?;
        ensure!(event.data().as_ref() == b"all");
        topics.push(event.topic().as_str().to_owned());
    }
    topics.sort();
    ensure!(topics == ["ride.1", "ride.2"], "{topics:?}");

    let (_client, mut pattern) = subscribe(&mut server, &["ride.*"]).await?;
    server.publish("ride.*", "again").await?;
    let unusable = notice(&mut pattern).await?;
    ensure!(unusable.to_string().contains("ride.*"), "{unusable}");
    Ok(())
}

pub(super) async fn multi_topic(bench: &Bench) -> Result<()> {
    let topics = ["firstnames", "lastnames", "ages"];
    let mut server = server(bench, &["--topics", &topics.join(",")]).await?;
    let (_client, mut all) = subscribe(&mut server, &topics).await?;
    // The library keeps no order between topics.
    for round in 0..10 {
        for topic in topics {
            server.publish(topic, format!("{round}")).await?;
            expect(&mut all, topic, format!("{round}")).await?;
        }
    }
    Ok(())
}

pub(super) async fn handlers(bench: &Bench) -> Result<()> {
    let mut server = server(bench, &["--topics", "ride.1,ride.2,people"]).await?;
    let client = client(server.address).await?;
    let (calls, mut called) = unbounded_channel();
    let note = |name: &'static str| {
        let calls = calls.clone();
        move |event: qsse_client::Event| {
            let called = (name, event.topic().as_str().to_owned());
            let _ = calls.send(called);
            std::future::ready(())
        }
    };
    let handlers = Handlers::new()
        .on("ride.1", note("first"))
        .on("ride.2", note("second"))
        .topics("people")
        .on_message(note("rest"));
    let running = client.handle(handlers).await?;
    for (topic, handler) in [
        ("ride.2", "second"),
        ("people", "rest"),
        ("ride.1", "first"),
    ] {
        server.subscribers(topic, 1).await?;
        server.publish(topic, "hi").await?;
        let call = called.recv().await.context("handlers run")?;
        ensure!(call == (handler, topic.to_owned()), "{call:?}");
    }
    running.stop().await;
    Ok(())
}

/// A handler's pattern is matched here, as the library's client does it; the server, which does not
/// have it, says so.
pub(super) async fn handlers_of_patterns(bench: &Bench) -> Result<()> {
    let mut server = server(bench, &["--topics", "ride.1,ride.2"]).await?;
    let client = client(server.address).await?;
    let (said, mut heard) = unbounded_channel();
    let notices = said.clone();
    let handlers = Handlers::new()
        .on("ride.*", move |event| {
            let _ = said.send(event.topic().as_str().to_owned());
            std::future::ready(())
        })
        .topics(["ride.1", "ride.2"])
        .on_notice(move |notice| {
            let _ = notices.send(format!("{:?}", notice.code()));
            std::future::ready(())
        });
    let running = client.handle(handlers).await?;
    let code = heard.recv().await.context("handlers run")?;
    ensure!(
        code == format!("{:?}", Some(Code::TOPIC_NOT_AVAILABLE)),
        "{code}"
    );
    for topic in ["ride.2", "ride.1"] {
        server.subscribers(topic, 1).await?;
        server.publish(topic, "hi").await?;
        let call = heard.recv().await.context("handlers run")?;
        ensure!(call == topic, "{call}");
    }
    running.stop().await;
    Ok(())
}

pub(super) async fn right_token(bench: &Bench) -> Result<()> {
    let mut server = server(bench, &["--topics", "people", "--token", "right"]).await?;
    let client = client(server.address).token("right").await?;
    let mut people = client.subscribe("people").await?;
    server.subscribers("people", 1).await?;
    server.publish("people", "let in").await?;
    expect(&mut people, "people", "let in").await
}

/// The token goes with the offer, so it is the subscription that is refused, for good.
pub(super) async fn refused_token(bench: &Bench) -> Result<()> {
    let server = server(bench, &["--topics", "people", "--token", "right"]).await?;
    let client = client(server.address).token("wrong").await?;
    let mut people = client.subscribe("people").await?;
    let refused = people.next().await.context("the end without an error")?;
    let refused = refused.err().context("an event")?;
    ensure!(refused.code() == Some(Code::NOT_AUTHORISED), "{refused:?}");
    ensure!(people.next().await.is_none(), "something after the end");
    Ok(())
}

pub(super) async fn refused_topic(bench: &Bench) -> Result<()> {
    let arguments = ["--topics", "people,secret", "--deny", "secret"];
    let mut server = server(bench, &arguments).await?;
    refused(&mut server, "secret", Code::NOT_AUTHORISED).await
}

pub(super) async fn unavailable_topic(bench: &Bench) -> Result<()> {
    let mut server = server(bench, &["--topics", "people"]).await?;
    refused(&mut server, "nowhere", Code::TOPIC_NOT_AVAILABLE).await
}

/// One topic is refused, the other goes on.
async fn refused(server: &mut GoServer, topic: &str, code: Code) -> Result<()> {
    let client = client(server.address).await?;
    let mut both = client.subscribe([topic, "people"]).await?;
    let refused = notice(&mut both).await?;
    let named = matches!(&refused, Notice::PatternRefused { pattern, .. } if pattern == topic);
    ensure!(named && refused.code() == Some(code), "{refused:?}");
    server.subscribers("people", 1).await?;
    server.publish("people", "allowed").await?;
    expect(&mut both, "people", "allowed").await
}

pub(super) async fn everything_refused(bench: &Bench) -> Result<()> {
    let arguments = ["--topics", "people,secret", "--deny", "secret"];
    let server = server(bench, &arguments).await?;
    let client = client(server.address).await?;
    let mut none = client.subscribe(["secret", "nowhere"]).await?;
    let mut codes = Vec::new();
    let mut is_end = false;
    while let Some(item) = none.next_item().await {
        codes.push(match item {
            Ok(Item::Notice(notice)) => notice.code(),
            Ok(Item::Event(_)) => bail!("an event"),
            Err(end) => {
                is_end = true;
                end.code()
            }
        });
    }
    ensure!(is_end && codes.len() >= 2, "{codes:?}");
    for code in [Code::NOT_AUTHORISED, Code::TOPIC_NOT_AVAILABLE] {
        let told = codes.contains(&Some(code));
        ensure!(told, "no word of {code}: {codes:?}");
    }
    Ok(())
}

pub(super) async fn binary_and_empty(bench: &Bench) -> Result<()> {
    let mut server = server(bench, &["--topics", "raw"]).await?;
    let (_client, mut raw) = subscribe(&mut server, &["raw"]).await?;
    let every: Vec<u8> = (0..=255).collect();
    let all = [&every[..], b"", b"\0", b"\n\"\\", &every[1..]];
    for data in all {
        server.publish("raw", data).await?;
    }
    for data in all {
        expect(&mut raw, "raw", data).await?;
    }
    Ok(())
}

pub(super) async fn one_mebibyte(bench: &Bench) -> Result<()> {
    let mut server = server(bench, &["--topics", "large"]).await?;
    let (_client, mut large) = subscribe(&mut server, &["large"]).await?;
    server.generate("large", 3, 1 << 20).await?;
    for number in 0..3 {
        expect(&mut large, "large", payload(number, 1 << 20)).await?;
    }
    server.answer().await
}

pub(super) async fn in_order(bench: &Bench) -> Result<()> {
    const COUNT: u64 = 100_000;
    let mut server = server(bench, &["--topics", "numbers"]).await?;
    let (_client, mut numbers) = subscribe(&mut server, &["numbers"]).await?;
    server.generate("numbers", COUNT, 128).await?;
    expect_numbers(&mut numbers, COUNT).await?;
    server.answer().await
}

/// The library has no history: its publisher waits for the reader.
pub(super) async fn slow_reader(bench: &Bench) -> Result<()> {
    const COUNT: u64 = 5_000;
    let mut server = server(bench, &["--topics", "numbers"]).await?;
    let (_client, mut numbers) = subscribe(&mut server, &["numbers"]).await?;
    server.generate("numbers", COUNT, 1_024).await?;
    // Longer than filling every window between the two takes.
    let early = tokio::time::timeout(Duration::from_secs(1), server.answer()).await;
    ensure!(
        early.is_err(),
        "five megabytes went out to nobody who reads"
    );
    expect_numbers(&mut numbers, COUNT).await?;
    server.answer().await
}

pub(super) async fn metrics(bench: &Bench) -> Result<()> {
    let mut server = server(bench, &["--topics", "people"]).await?;
    let (_client, mut people) = subscribe(&mut server, &["people"]).await?;
    let text = http::metrics(server.metrics).await?;
    let counted = r#"qsse_qsse_subscriber_count{topic="people"} 1"#;
    ensure!(text.contains(counted), "{text}");
    server.publish("people", "Ada").await?;
    expect(&mut people, "people", "Ada").await?;
    let text = http::metrics(server.metrics).await?;
    // What waits to be distributed, which is nothing any more.
    let counted = r#"qsse_qsse_event_count{topic="people"} 0"#;
    ensure!(text.contains(counted), "{text}");

    // Several clients of ours, each with a connection of its own.
    let more = join_all((0..3).map(async |_| {
        let client = client(server.address).await?;
        anyhow::Ok((client.subscribe("people").await?, client))
    }));
    let more: Vec<_> = more.await.into_iter().collect::<Result<_>>()?;
    server.subscribers("people", 1 + more.len()).await
}
