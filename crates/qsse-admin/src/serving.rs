//! Serves HTTP on connections that were accepted, within limits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Concurrent connections. Further ones wait in the listener's queue.
const CONNECTIONS: usize = 16;

/// The time for one connection: a client that is slow or silent gives its place to others. A reload
/// or an answer about many connections fits.
const TIME: Duration = Duration::from_secs(30);

/// The time for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// The buffer of a connection, which limits a request's head.
const BUFFER: usize = 8 * 1024;

/// The pause when a connection cannot be accepted. File descriptors may be exhausted; they become
/// free with time.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves a router over plain HTTP/1.1 on a port that is bound, until the future is dropped: at
/// most 16 connections at a time, each for at most 30 seconds.
///
/// It asks nobody for a token. It is for [`probes`](crate::probes) on an address of your choice.
pub async fn serve(listener: TcpListener, router: Router) {
    accept(
        || async { Ok(listener.accept().await?.0) },
        |_| router.clone(),
    )
    .await;
}

/// Accepts connections until the future is dropped, and serves each with a router of its own.
pub(crate) async fn accept<S, F>(mut next: impl FnMut() -> F, router: impl Fn(&S) -> Router)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Future<Output = io::Result<S>>,
{
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    // Dropped with this future, which ends them.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        let stream = match next().await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection for administration was not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let router = router(&stream);
        connections.spawn(async move {
            let _permit = permit;
            let served = tokio::time::timeout(TIME, connection(stream, router));
            // A client that is slow or gone loses only its own answer.
            let _ = served.await;
        });
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    router: Router,
) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(BUFFER)
        .keep_alive(false)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}
