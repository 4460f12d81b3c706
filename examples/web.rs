//! A web service with a chat: its pages read and write over HTTP, devices over QUIC, and all of
//! them have the same events.
//!
//! ```text
//! cargo run --example web -- --http 127.0.0.1:8080
//! xdg-open http://127.0.0.1:8080          # a chat with nothing but EventSource
//! xdg-open http://127.0.0.1:8080/client   # the same with the client of crates/qsse-js
//! curl -N -H 'Authorization: Bearer reader' 'http://127.0.0.1:8080/push/events?topic=chat.*'
//! curl -H 'Authorization: Bearer writer' -d 'hello' http://127.0.0.1:8080/push/publish/chat.tea
//! ```
//!
//! In the pages, `writer` and `reader` are the tokens. This example sends them in plain text: a real
//! service uses HTTPS, and marks the cookie `Secure`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use clap::Parser;
use qsse::server::{Authenticator, ByGrants, Credentials, Denied, Grants, Principal};
use qsse::{IntoFilter as _, Server};
use qsse_http::{Config, Http};
use tokio::net::TcpListener;

#[path = "web/self_test.rs"]
mod self_test;

pub(crate) use self_test::self_test;

/// How long the server may take to drain its connections.
const DRAIN: Duration = Duration::from_secs(5);

/// The cookie that has the token: an EventSource sends no header of ours, but it sends cookies.
const COOKIE: &str = "chat";

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
    /// Token that may only read
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
    tokens: Tokens,
}

impl Service {
    async fn start(quic: SocketAddr, writer: &str, reader: &str) -> Result<Self> {
        let tokens = Tokens {
            writer: writer.into(),
            reader: reader.into(),
        };
        let server = Server::bind(quic)
            .authenticator(tokens.clone())
            .authorizer(ByGrants);
        Ok(Self {
            server: server.await?,
            tokens,
        })
    }
}

/// Who may do what, over HTTP and QUIC.
#[derive(Clone)]
struct Tokens {
    writer: Arc<str>,
    reader: Arc<str>,
}

impl Tokens {
    fn who(&self, token: &str) -> Option<&'static str> {
        match token {
            token if *token == *self.writer => Some("writer"),
            token if *token == *self.reader => Some("reader"),
            _ => None,
        }
    }
}

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let chat = || "chat.*".into_filter().expect("it is a pattern");
        match credentials.token.and_then(|token| self.who(token)) {
            Some("writer") => Ok(Principal::new("writer").with_grants(Grants::everything())),
            Some(name) => Ok(Principal::new(name).with_grants(Grants::new().subscribe(chat()))),
            None => Err(Denied::new("give a valid token")),
        }
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
    // The addresses of clients are for the server's limits.
    let routes = routes(service).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, routes)
        .with_graceful_shutdown(shutdown)
        .await?;
    println!("ended: {}", server.closed().await);
    Ok(())
}

fn routes(service: Service) -> Router {
    let config = Config::default().cookie(COOKIE);
    let push = Http::new(service.server.clone()).config(config).router();
    Router::new()
        .route("/", get(async || Html(include_str!("web/chat.html"))))
        .route(
            "/client",
            get(async || Html(include_str!("web/client.html"))),
        )
        .route("/login", post(login))
        .route("/metrics", get(metrics))
        .with_state(service)
        .nest("/push", push)
}

/// `POST /login` with a token as the body: stores it in a cookie.
async fn login(State(service): State<Service>, token: String) -> Response {
    if service.tokens.who(&token).is_none() {
        return (StatusCode::UNAUTHORIZED, "give a valid token\n").into_response();
    }
    let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}

/// `GET /metrics`, for the writer.
async fn metrics(State(service): State<Service>, headers: HeaderMap) -> Response {
    let value = headers.get(header::AUTHORIZATION);
    let token = value.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match token.and_then(|token| service.tokens.who(token)) {
        Some("writer") => service.server.metrics_text().into_response(),
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}
