//! A qsse server that publishes in its own process.

use std::collections::VecDeque;

use anyhow::Result;
use async_trait::async_trait;
use qsse_http::{Http, Listener};
use qsse_server::{Action, Authorizer, Principal, Scope, Server, WebTransport};
use qsse_topic::PatternRef;

use super::start::{Start, at_rate, listening};
use crate::work::{Peer, Task, Work};
use crate::{payload, tls};

/// Bytes of events published in one go.
const BURST_BYTES: usize = 64 << 10;

/// Bursts that the subscribers may be behind: well inside a feed of 4 MiB.
const BURSTS_AHEAD: usize = 32;

/// The topic that all subscribe to.
const TOPIC: &str = "bench";

pub(super) async fn run(work: &Work, start: Start) -> Result<()> {
    let shards = if work.peer == Peer::QsseShards { 2 } else { 1 };
    let server = Server::bind("127.0.0.1:0")
        .shards(shards)
        .tls(tls::quic_server(&work.certificates, work.resumed)?)
        .authorizer(Everything);
    let server = match work.peer {
        Peer::Wt => server.web_transport(WebTransport::default()).await?,
        _ => server.await?,
    };
    match work.peer {
        Peer::HttpH2 | Peer::HttpLines => listen_for_http(work, &server).await?,
        _ => listening(server.local_addr()),
    }
    start.given().await;
    match work.task {
        Task::Flood => flood(&server, work.event_bytes).await,
        Task::Steady { events_per_s } => {
            at_rate(events_per_s, work.event_bytes, {
                let server = server.clone();
                move |data| Ok(server.try_publish(TOPIC, data).map(drop)?)
            });
            server.closed().await;
            Ok(())
        }
        Task::Welcome | Task::Take => {
            server.closed().await;
            Ok(())
        }
    }
}

/// Answers HTTP clients beside the others.
async fn listen_for_http(work: &Work, server: &Server) -> Result<()> {
    let tls = tls::quic_server(&work.certificates, work.resumed)?;
    let listener = Listener::tls("127.0.0.1:0".parse()?, &tls).await?;
    listening(listener.local_addr()?);
    let routes = Http::new(server.clone()).router();
    tokio::spawn(listener.serve(server.clone(), routes));
    Ok(())
}

/// Publishes as fast as the slowest subscriber takes it.
async fn flood(server: &Server, event_bytes: usize) -> Result<()> {
    let data = payload::blank(event_bytes);
    let burst = vec![(TOPIC, &data[..]); (BURST_BYTES / event_bytes).max(1)];
    let mut ends = VecDeque::new();
    loop {
        let published = server.try_publish_all(&burst)?;
        ends.extend(published.last());
        if ends.len() > BURSTS_AHEAD {
            let end = ends.pop_front().expect("there are many");
            server.delivered(end).await;
        }
        tokio::task::yield_now().await;
    }
}

/// Lets everybody do everything.
struct Everything;

#[async_trait]
impl Authorizer for Everything {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, _: PatternRef<'_>) -> bool {
        true
    }
}
