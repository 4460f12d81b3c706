//! Server-sent events over HTTP/2 with axum and a broadcast channel, over TLS.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::Stream;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_rustls::TlsAcceptor;

use super::start::{Start, at_rate, fail, listening};
use crate::work::{Task, Work};
use crate::{payload, tls};

/// Events that the channel holds; a subscriber that is further behind would lose some, which ends
/// the server.
const QUEUE_EVENTS: usize = 16_384;

/// Events published in one go.
const BURST_EVENTS: usize = 512;

type Events = broadcast::Sender<Arc<str>>;

pub(super) async fn run(work: &Work, start: Start) -> Result<()> {
    let (events, _) = broadcast::channel(QUEUE_EVENTS);
    let mut config = tls::server(&work.certificates, work.resumed)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    listening(listener.local_addr()?);
    tokio::spawn(publish(events.clone(), work.clone(), start));
    let router = Router::new()
        .route("/events", get(subscribe))
        .with_state(events);
    loop {
        let (socket, _) = listener.accept().await?;
        // A connection that ends has a client that ended, which the judge sees there.
        tokio::spawn(serve(socket, acceptor.clone(), router.clone()));
    }
}

async fn serve(socket: TcpStream, acceptor: TlsAcceptor, router: Router) -> Result<()> {
    socket.set_nodelay(true)?;
    let stream = TokioIo::new(acceptor.accept(socket).await?);
    let service = TowerToHyperService::new(router);
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(stream, service)
        .await?;
    Ok(())
}

async fn subscribe(
    State(events): State<Events>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stream = futures_util::stream::unfold(events.subscribe(), |mut events| async {
        match events.recv().await {
            Ok(data) => Some((Ok(Event::default().data(data)), events)),
            Err(broadcast::error::RecvError::Closed) => None,
            Err(lagged) => fail(&lagged.into()),
        }
    });
    Sse::new(stream)
}

async fn publish(events: Events, work: Work, start: Start) -> Result<()> {
    start.given().await;
    match work.task {
        Task::Flood => flood(&events, work.event_bytes).await,
        Task::Steady { events_per_s } => {
            at_rate(events_per_s, work.event_bytes, move |data| {
                let data = Arc::from(String::from_utf8(data)?);
                events.send(data).map(drop).context("nobody is there")
            });
            Ok(())
        }
        Task::Welcome | Task::Take => Ok(()),
    }
}

/// Publishes as fast as the slowest subscriber takes it.
async fn flood(events: &Events, event_bytes: usize) -> Result<()> {
    let data: Arc<str> = Arc::from(String::from_utf8(payload::blank(event_bytes))?);
    loop {
        while events.len() > QUEUE_EVENTS / 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..BURST_EVENTS {
            let _ = events.send(Arc::clone(&data));
        }
        tokio::task::yield_now().await;
    }
}
