//! Serves `GET /metrics` and `GET /health`: enough HTTP for a scraper and for `curl`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use qsse_server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// The limit on a request's head. A scraper's has some hundred bytes.
const HEAD_BYTES: usize = 8 * 1024;
/// The time from accept to the last byte of the answer.
const TIME: Duration = Duration::from_secs(5);
/// The number of concurrent requests. Further ones wait in the listener's queue.
const CONNECTIONS: usize = 16;

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, server: Server) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // File descriptors may be exhausted; they become free with time.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let server = server.clone();
        tokio::spawn(async move {
            let _permit = permit;
            // A client that is slow or gone loses only its own answer.
            let _ = tokio::time::timeout(TIME, answer(stream, &server)).await;
        });
    }
}

async fn answer(mut stream: TcpStream, server: &Server) -> io::Result<()> {
    let Some(head) = read_head(&mut stream).await? else {
        return respond(
            &mut stream,
            "431 Request Header Fields Too Large",
            "too long\n",
            true,
        )
        .await;
    };
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let path = target.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET" | "HEAD", "/metrics") => {
            respond(
                &mut stream,
                "200 OK",
                &server.metrics_text(),
                method == "GET",
            )
            .await
        }
        ("GET" | "HEAD", "/health") => match server.health() {
            Ok(()) => respond(&mut stream, "200 OK", "ok\n", method == "GET").await,
            Err(error) => {
                let reason = format!("publishing does not work: {error}\n");
                respond(
                    &mut stream,
                    "503 Service Unavailable",
                    &reason,
                    method == "GET",
                )
                .await
            }
        },
        ("GET" | "HEAD", _) => {
            respond(
                &mut stream,
                "404 Not Found",
                "this server only has /metrics and /health\n",
                method == "GET",
            )
            .await
        }
        _ => {
            respond(
                &mut stream,
                "405 Method Not Allowed\r\nAllow: GET, HEAD",
                "",
                true,
            )
            .await
        }
    }
}

/// Reads the request up to its empty line; `None` if that exceeds the limit.
async fn read_head(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&chunk[..read]);
        if head.len() > HEAD_BYTES {
            return Ok(None);
        }
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

async fn respond(
    stream: &mut TcpStream,
    status: &str,
    body: &str,
    with_body: bool,
) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if with_body {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}
