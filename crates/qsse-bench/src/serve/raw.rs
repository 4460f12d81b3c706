//! The limit: a writer of large chunks to each connection, or of single events when there is a
//! rate.

use std::collections::VecDeque;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use qsse_transport::{Connection, ServerEndpoint};
use tokio::sync::broadcast;

use super::start::{Start, at_rate, listening};
use crate::work::{Task, Work};
use crate::{payload, settings, tls};

/// Bytes of a chunk.
const CHUNK_BYTES: usize = 64 << 10;

/// Events that a connection may be behind when there is a rate; more is an error.
const QUEUE_EVENTS: usize = 16_384;

pub(super) async fn run(work: &Work, start: Start) -> Result<()> {
    let tls = tls::quic_server(&work.certificates, work.resumed)?;
    let config = settings::server(work.peer);
    let endpoint = ServerEndpoint::bind_plain("127.0.0.1:0".parse()?, &tls, &config)?;
    listening(endpoint.local_addr());
    let (events, _) = broadcast::channel::<Bytes>(QUEUE_EVENTS);
    if let Task::Steady { events_per_s } = work.task {
        let (sender, event_bytes, start) = (events.clone(), work.event_bytes, start.clone());
        tokio::spawn(async move {
            start.given().await;
            at_rate(events_per_s, event_bytes, move |data| {
                sender
                    .send(data.into())
                    .map(drop)
                    .context("nobody is there")
            });
        });
    }
    // Whole events only, so that the readers of a chunk may look at them.
    let events_in_chunk = (CHUNK_BYTES / work.event_bytes).max(1);
    let chunk = Bytes::from(payload::blank(work.event_bytes).repeat(events_in_chunk));
    while let Some(handshake) = endpoint.accept().await {
        let (task, start) = (work.task, start.clone());
        let (events, chunk) = (events.subscribe(), chunk.clone());
        tokio::spawn(async move {
            // A connection that ends has a client that ended, which the judge sees there.
            if let Ok(connection) = handshake.complete().await {
                let _ = serve(connection, task, start, events, chunk).await;
            }
        });
    }
    Ok(())
}

async fn serve(
    connection: Connection,
    task: Task,
    start: Start,
    mut events: broadcast::Receiver<Bytes>,
    chunk: Bytes,
) -> Result<()> {
    let mut asked = connection.accept_uni().await?;
    ensure!(asked.read_chunk().await?.is_some(), "nothing was asked");
    let mut stream = connection.open_uni().await?;
    stream.write_all(&mut [Bytes::from_static(b"+")]).await?;
    match task {
        Task::Flood => {
            start.given().await;
            let mut queue = VecDeque::new();
            loop {
                queue.push_back(chunk.clone());
                while !queue.is_empty() {
                    stream.write_queue(&mut queue).await?;
                }
            }
        }
        Task::Steady { .. } => loop {
            let event = match events.recv().await {
                Ok(event) => event,
                Err(error) => super::start::fail(&error.into()),
            };
            stream.write_all(&mut [event]).await?;
        },
        Task::Welcome => {
            connection.closed().await;
            Ok(())
        }
        Task::Take => {
            let mut chunks = [const { Bytes::new() }; 32];
            while asked.read_chunks(&mut chunks).await?.is_some() {}
            Ok(())
        }
    }
}
