//! What a monitor asks: metrics, health, readiness.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use qsse_server::{Server, ServerState};

/// Answers `GET /metrics`, `/health` and `/ready`, as text. It reveals names of topics, and nothing
/// of clients.
pub fn probes(server: Server) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .fallback(|| async { (StatusCode::NOT_FOUND, "this is not here\n") })
        .with_state(server)
}

async fn metrics(State(server): State<Server>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    // On a thread of its own: thousands of topics make a long text, and clients would wait for it.
    let text = tokio::task::spawn_blocking(move || server.metrics_text()).await;
    match text {
        Ok(text) => ([(CONTENT_TYPE, kind)], text).into_response(),
        Err(_) => unavailable("the metrics could not be collected\n"),
    }
}

async fn health(State(server): State<Server>) -> Response {
    match server.health() {
        Ok(()) => "ok\n".into_response(),
        Err(error) => unavailable(&format!("publishing does not work: {error}\n")),
    }
}

async fn ready(State(server): State<Server>) -> Response {
    match server.state() {
        ServerState::Serving => health(State(server)).await,
        _ => unavailable("the server is shutting down\n"),
    }
}

fn unavailable(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, reason.to_owned()).into_response()
}
