//! A web service with a qsse server inside: devices subscribe over QUIC, browsers over server-sent events.
//!
//! ```text
//! cargo run --example axum_embed -- --http 127.0.0.1:8080
//! curl -N 'http://127.0.0.1:8080/events?topic=ride.*'            # in one terminal
//! curl -d 'at the station' 'http://127.0.0.1:8080/publish/ride.7.start?kind=started'
//! curl http://127.0.0.1:8080/metrics
//! ```
//!
//! A browser that reconnects sends `Last-Event-ID` by itself and goes on after that event. Anyone may publish here: a
//! real service would check that.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use futures_util::{Stream, StreamExt as _};
use qsse::client::Client;
use qsse::server::{PublishError, Subscription, SubscriptionError};
use qsse::{Event, Kind, Server, Start};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How long connections may take to end.
const DRAIN: Duration = Duration::from_secs(5);

/// An HTTP server and a qsse server on one log.
#[derive(Parser)]
struct Args {
    /// Where browsers and curl connect
    #[arg(long, default_value = "127.0.0.1:0")]
    http: SocketAddr,
    /// Where qsse clients connect
    #[arg(long, default_value = "127.0.0.1:0")]
    quic: SocketAddr,
    /// Try everything over loopback, then end
    #[arg(long)]
    self_test: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    if args.self_test {
        self_test().await?;
        println!("all is well");
        return Ok(());
    }
    let server = Server::bind(args.quic).await?;
    let listener = TcpListener::bind(args.http).await?;
    println!("http://{} and {}", listener.local_addr()?, server.url());
    serve(server, listener, async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("cannot wait for ctrl-c: {error}");
        }
    })
    .await
}

/// Serves until `stop`, then ends both servers as one: draining ends every subscription, and with it every response.
async fn serve(
    server: Server,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let draining = server.clone();
    let shutdown = async move {
        stop.await;
        // Beside axum's own: it takes no more requests from here on.
        tokio::spawn(async move { draining.shutdown(DRAIN).await });
    };
    axum::serve(listener, routes(server.clone()))
        .with_graceful_shutdown(shutdown)
        .await?;
    println!("ended: {:?}", server.closed().await);
    Ok(())
}

fn routes(server: Server) -> Router {
    Router::new()
        .route("/publish/{topic}", post(publish))
        .route("/events", get(events))
        .route(
            "/metrics",
            get(async |State(server): State<Server>| server.metrics_text()),
        )
        .with_state(server)
}

#[derive(Deserialize)]
struct PublishQuery {
    kind: Option<String>,
}

/// `POST /publish/{topic}?kind=…`: the body is the event's data; answers with its id.
async fn publish(
    State(server): State<Server>,
    Path(topic): Path<String>,
    Query(query): Query<PublishQuery>,
    body: Bytes,
) -> Response {
    let kind = match query.kind.map(Kind::new).transpose() {
        Ok(kind) => kind.unwrap_or_default(),
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error),
    };
    match server.publish(topic, body).kind(kind).await {
        Ok(id) => Json(serde_json::json!({ "id": id })).into_response(),
        Err(error) => {
            let status = match &error {
                PublishError::NotDeclared { .. } => StatusCode::NOT_FOUND,
                PublishError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                error if error.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::BAD_REQUEST,
            };
            problem(status, &error)
        }
    }
}

#[derive(Deserialize)]
struct EventsQuery {
    topic: String,
}

/// `GET /events?topic=…`: the events of a topic or pattern, from now on or after `Last-Event-ID`.
async fn events(
    State(server): State<Server>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Response {
    let start = match headers.get("last-event-id").map(|id| id.to_str()) {
        None | Some(Ok("")) => Start::Live,
        Some(id) => match id.unwrap_or_default().parse() {
            Ok(id) => Start::After(id),
            Err(error) => return problem(StatusCode::BAD_REQUEST, &error),
        },
    };
    match server.subscribe(query.topic).start(start).await {
        Ok(events) => {
            // Proxies that gather a response before they pass it on would hold events back.
            let headers = [(header::CACHE_CONTROL, "no-cache")];
            let relay = Sse::new(relay(events)).keep_alive(KeepAlive::default());
            (headers, relay).into_response()
        }
        Err(error) => problem(StatusCode::BAD_REQUEST, &error),
    }
}

/// Events as a browser takes them. Data that is no text is shown with replacement characters.
fn relay(events: Subscription) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    events.map(|item| {
        Ok(match item {
            Ok(event) => sse(&event),
            // Told as events of their own, without an id: the place to resume from stays.
            Err(news @ SubscriptionError::Gap(_)) => plain("gap", &news),
            Err(news) => plain("reset", &news),
        })
    })
}

fn sse(event: &Event) -> SseEvent {
    SseEvent::default()
        .id(event.id().to_string())
        .event(event.kind().as_str())
        .data(String::from_utf8_lossy(event.data()))
}

fn plain(name: &str, news: &SubscriptionError) -> SseEvent {
    SseEvent::default().event(name).data(news.to_string())
}

fn problem(status: StatusCode, error: &impl std::error::Error) -> Response {
    let source = error.source().map(|source| format!(": {source}"));
    (status, format!("{error}{}\n", source.unwrap_or_default())).into_response()
}

/// Publishes, relays, resumes, counts and ends, over loopback.
pub(crate) async fn self_test() -> Result<()> {
    let server = Server::bind("127.0.0.1:0").await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let http = listener.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let client = Client::connect(server.url()).reconnect(false).await?;
    let mut device = client.subscribe("ride.*").await?;
    let running = tokio::spawn(serve(server, listener, async { drop(stopped.await) }));

    let mut browser = Http::send(http, "GET /events?topic=ride.* HTTP/1.1", "").await?;
    browser.until("text/event-stream").await?;
    let mut published = Http::send(
        http,
        "POST /publish/ride.7.start?kind=started HTTP/1.1",
        "one",
    )
    .await?;
    published.until("\"id\"").await?;
    let event = device.try_next().await?.context("the server is open")?;
    ensure!(event.kind().as_str() == "started" && event.text()? == "one");
    for expected in [
        "event: started".to_owned(),
        format!("id: {}", event.id()),
        "data: one".to_owned(),
    ] {
        browser.until(&expected).await?;
    }
    drop(browser);
    Http::send(http, "POST /publish/ride.7.end HTTP/1.1", "two")
        .await?
        .until("\"id\"")
        .await?;
    Http::send(http, "POST /publish/ride.*.end HTTP/1.1", "no")
        .await?
        .until(" 400 ")
        .await?;

    let resume = format!(
        "GET /events?topic=ride.* HTTP/1.1\r\nLast-Event-ID: {}",
        event.id()
    );
    let mut browser = Http::send(http, &resume, "").await?;
    let resumed = browser.until("data: two").await?;
    ensure!(
        resumed.contains("event: message") && !resumed.contains("data: one"),
        "{resumed}"
    );
    let counted = r#"qsse_qsse_event_count{topic="ride.7.end"} 1"#;
    Http::send(http, "GET /metrics HTTP/1.1", "")
        .await?
        .until(counted)
        .await?;

    let event = device.try_next().await?.context("the server is open")?;
    ensure!(event.text()? == "two");

    // A client leaves once its subscriptions have been read to the end.
    let last = tokio::spawn(async move { device.next().await });
    drop(stop);
    browser.end().await?;
    tokio::time::timeout(DRAIN, running).await???;
    ensure!(
        !matches!(last.await?, Some(Ok(_))),
        "nothing else was published"
    );
    Ok(())
}

/// As much of an HTTP client as the test needs.
struct Http {
    stream: TcpStream,
    read: String,
}

impl Http {
    async fn send(address: SocketAddr, request: &str, body: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        let length = body.len();
        let request = format!(
            "{request}\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        Ok(Self {
            stream,
            read: String::new(),
        })
    }

    /// Reads until `part` has come, and returns all that was read so far.
    async fn until(&mut self, part: &str) -> Result<&str> {
        while !self.read.contains(part) {
            ensure!(self.more().await? > 0, "no {part:?} in {}", self.read);
        }
        Ok(&self.read)
    }

    /// Reads to the end.
    async fn end(&mut self) -> Result<()> {
        while self.more().await? > 0 {}
        Ok(())
    }

    async fn more(&mut self) -> Result<usize> {
        let mut chunk = [0; 4096];
        let read = tokio::time::timeout(DRAIN, self.stream.read(&mut chunk)).await;
        let count = read.with_context(|| format!("nothing more after {}", self.read))??;
        self.read
            .push_str(&String::from_utf8_lossy(&chunk[..count]));
        Ok(count)
    }
}
