//! A web service that embeds a qsse server: devices subscribe over QUIC, browsers over server-sent
//! events.
//!
//! ```text
//! cargo run --example axum_embed -- --http 127.0.0.1:8080
//! xdg-open http://127.0.0.1:8080   # a page that shows events, with the token `reader`
//! curl -N -H 'Authorization: Bearer reader' 'http://127.0.0.1:8080/events?topic=ride.*'
//! curl -H 'Authorization: Bearer writer' -d 'at the station' \
//!     'http://127.0.0.1:8080/publish/ride.7.start?kind=started'
//! curl -H 'Authorization: Bearer writer' http://127.0.0.1:8080/metrics
//! ```
//!
//! A browser that reconnects sends `Last-Event-ID` by itself, and resumes after that event. This
//! example sends tokens in plain text: a real service uses HTTPS, and marks the cookie `Secure`.

use std::convert::Infallible;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use futures_util::Stream;
use qsse::server::{
    Action, Authenticator, Authorizer, Credentials, Denied, Item, Notice, Principal, PublishError,
    Scope, Subscription,
};
use qsse::topic::PatternRef;
use qsse::{Event, Filter, IntoFilter as _, Kind, Server, Start};
use serde::Deserialize;
use tokio::net::TcpListener;

#[path = "axum_embed/self_test.rs"]
mod self_test;

pub(crate) use self_test::self_test;

/// How long the server may take to drain its connections.
const DRAIN: Duration = Duration::from_secs(5);

/// An HTTP server and a qsse server on one log.
#[derive(Parser)]
struct Args {
    /// Address for browsers and curl
    #[arg(long, default_value = "127.0.0.1:0")]
    http: SocketAddr,
    /// Address for qsse clients
    #[arg(long, default_value = "127.0.0.1:0")]
    quic: SocketAddr,
    /// Token that may do everything
    #[arg(long, default_value = "writer")]
    writer: String,
    /// Token that may only subscribe to rides
    #[arg(long, default_value = "reader")]
    reader: String,
    /// Try everything over loopback, then exit
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
    let service = Service::start(args.quic, &args.writer, &args.reader).await?;
    let listener = TcpListener::bind(args.http).await?;
    let mut stopped = Box::pin(async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("cannot wait for ctrl-c: {error}");
        }
    });
    // Listen for Ctrl-C before the address is printed.
    let _ = futures_util::poll!(&mut stopped);
    println!(
        "http://{} and {}",
        listener.local_addr()?,
        service.server.url()
    );
    serve(service, listener, stopped).await
}

/// The state that the handlers share.
#[derive(Clone)]
struct Service {
    server: Server,
    grants: Grants,
}

impl Service {
    async fn start(quic: SocketAddr, writer: &str, reader: &str) -> Result<Self> {
        let grants = Grants {
            writer: writer.into(),
            reader: reader.into(),
            readable: "ride.*".into_filter()?,
        };
        let server = Server::bind(quic)
            .authenticator(grants.clone())
            .authorizer(grants.clone());
        Ok(Self {
            server: server.await?,
            grants,
        })
    }

    /// Refuses a request whose token does not permit `action`.
    fn check(&self, headers: &HeaderMap, action: Action, what: &str) -> Result<(), Box<Response>> {
        let Some(who) = token(headers).and_then(|token| self.grants.who(token)) else {
            return Err(refused(StatusCode::UNAUTHORIZED, "give a valid token"));
        };
        let what = PatternRef::new(what)
            .map_err(|error| Box::new(problem(StatusCode::BAD_REQUEST, &error)))?;
        match self.grants.may(who, action, what) {
            true => Ok(()),
            false => Err(refused(StatusCode::FORBIDDEN, "this token may not do that")),
        }
    }
}

/// Who may do what, over HTTP and QUIC: the writer may do everything, the reader may only subscribe
/// to rides.
#[derive(Clone)]
struct Grants {
    writer: Arc<str>,
    reader: Arc<str>,
    readable: Filter,
}

impl Grants {
    fn who(&self, token: &str) -> Option<&'static str> {
        match token {
            token if *token == *self.writer => Some("writer"),
            token if *token == *self.reader => Some("reader"),
            _ => None,
        }
    }

    fn may(&self, who: &str, action: Action, what: PatternRef<'_>) -> bool {
        who == "writer" || matches!(action, Action::Subscribe) && self.readable.contains(what)
    }
}

#[async_trait]
impl Authenticator for Grants {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let who = credentials.token.and_then(|token| self.who(token));
        who.map(Principal::new)
            .ok_or(Denied::new("give a valid token"))
    }
}

#[async_trait]
impl Authorizer for Grants {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, who: &Principal, action: Action, what: PatternRef<'_>) -> bool {
        self.may(who.name(), action, what)
    }
}

/// Serves until `stop`, then shuts both servers down: draining ends every subscription, and thereby
/// every response.
async fn serve(
    service: Service,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let server = service.server.clone();
    let draining = server.clone();
    let shutdown = async move {
        stop.await;
        // This runs alongside axum's own shutdown.
        tokio::spawn(async move { draining.shutdown(DRAIN).await });
    };
    axum::serve(listener, routes(service))
        .with_graceful_shutdown(shutdown)
        .await?;
    println!("ended: {}", server.closed().await);
    Ok(())
}

fn routes(service: Service) -> Router {
    Router::new()
        .route(
            "/",
            get(async || Html(include_str!("axum_embed/page.html"))),
        )
        .route("/login", post(login))
        .route("/publish/{topic}", post(publish))
        .route("/events", get(events))
        .route("/metrics", get(metrics))
        .with_state(service)
}

/// `POST /login` with a token as the body: stores it in a cookie.
async fn login(State(service): State<Service>, token: String) -> Response {
    if service.grants.who(&token).is_none() {
        return *refused(StatusCode::UNAUTHORIZED, "give a valid token");
    }
    let cookie = format!("token={token}; Path=/; HttpOnly; SameSite=Strict");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}

/// Returns the token of a request, from its header or from the cookie that [`login`] sets.
fn token(headers: &HeaderMap) -> Option<&str> {
    let text = |name| headers.get(name)?.to_str().ok();
    let bearer = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    bearer.or_else(|| {
        let mut cookies = text(header::COOKIE)?.split("; ");
        cookies.find_map(|cookie| cookie.strip_prefix("token="))
    })
}

async fn metrics(State(service): State<Service>, headers: HeaderMap) -> Response {
    match service.check(&headers, Action::Publish, "*") {
        Ok(()) => service.server.metrics_text().into_response(),
        Err(refusal) => *refusal,
    }
}

#[derive(Deserialize)]
struct PublishQuery {
    kind: Option<String>,
}

/// `POST /publish/{topic}?kind=…`: publishes the body as an event, and answers with its id.
async fn publish(
    State(service): State<Service>,
    Path(topic): Path<String>,
    Query(query): Query<PublishQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(refusal) = service.check(&headers, Action::Publish, &topic) {
        return *refusal;
    }
    let kind = match query.kind.map(Kind::new).transpose() {
        Ok(kind) => kind.unwrap_or_default(),
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error),
    };
    match service.server.publish(topic, body).kind(kind).await {
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

/// `GET /events?topic=…`: streams the events of a topic or pattern, from now on or after
/// `Last-Event-ID`.
async fn events(
    State(service): State<Service>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Response {
    // The server does not check subscriptions in its own process.
    if let Err(refusal) = service.check(&headers, Action::Subscribe, &query.topic) {
        return *refusal;
    }
    let start = match headers.get("last-event-id").map(|id| id.to_str()) {
        None | Some(Ok("")) => Start::Live,
        Some(id) => match id.unwrap_or_default().parse() {
            Ok(id) => Start::After(id),
            Err(error) => return problem(StatusCode::BAD_REQUEST, &error),
        },
    };
    match service.server.subscribe(query.topic).start(start).await {
        Ok(events) => {
            // Proxies that buffer responses would delay events.
            let headers = [(header::CACHE_CONTROL, "no-cache")];
            let relay = Sse::new(relay(events)).keep_alive(KeepAlive::default());
            (headers, relay).into_response()
        }
        Err(error) => problem(StatusCode::BAD_REQUEST, &error),
    }
}

/// Converts events for browsers.
fn relay(events: Subscription) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    futures_util::stream::unfold(events, |mut events| async move {
        let item = match events.next_item().await? {
            Ok(Item::Event(event)) => sse(&event),
            // These have no id, so the position to resume from does not change.
            Ok(Item::Notice(notice @ Notice::Gap(_))) => plain("gap", notice),
            Ok(Item::Notice(notice)) => plain("reset", notice),
            Err(error) => plain("error", error),
        };
        Some((Ok(item), events))
    })
}

/// Converts an event to JSON, without a name: browsers ignore events without data, and pass named
/// events only to listeners for that name. Data that is not UTF-8 gets replacement characters.
fn sse(event: &Event) -> SseEvent {
    let message = serde_json::json!({
        "topic": event.topic().as_str(),
        "kind": event.kind().as_str(),
        "data": String::from_utf8_lossy(event.data()),
    });
    SseEvent::default()
        .id(event.id().to_string())
        .data(message.to_string())
}

fn plain(name: &str, text: impl Display) -> SseEvent {
    SseEvent::default().event(name).data(text.to_string())
}

fn refused(status: StatusCode, text: &'static str) -> Box<Response> {
    Box::new((status, format!("{text}\n")).into_response())
}

fn problem(status: StatusCode, error: &impl std::error::Error) -> Response {
    let source = error.source().map(|source| format!(": {source}"));
    (status, format!("{error}{}\n", source.unwrap_or_default())).into_response()
}
