//! [`Admin`]: answers the requests of administrators.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::future::BoxFuture;
use qsse_server::{RevokeError, Server, ServerStatus};
use qsse_topic::{Pattern, PatternRef};
use serde::Deserialize;

use crate::api::{Closed, Connections, Reloaded, Revoke, Topics, Unrevoked};
use crate::probes::probes;
use crate::problem::Problem;

/// How long a server drains if nobody says otherwise.
const DRAIN: Duration = Duration::from_secs(10);

/// Most topics of one answer, unless asked for more.
const TOPICS: usize = 1_000;

/// Most topics of one answer: they are collected while publishers wait.
const MOST_TOPICS: usize = 10_000;

/// The pattern of all topics.
const ALL: PatternRef<'static> = match PatternRef::new("*") {
    Ok(pattern) => pattern,
    Err(_) => panic!("it is a pattern"),
};

type Reload = Arc<dyn Fn() -> BoxFuture<'static, Result<Reloaded, String>> + Send + Sync>;
type Drain = Arc<dyn Fn() + Send + Sync>;

/// The administration of a server: what it answers, and what a reload and a drain mean.
#[derive(Clone)]
pub struct Admin {
    server: Server,
    reload: Option<Reload>,
    drain: Drain,
}

impl Admin {
    /// Administers this server. It holds a handle: as long as it is served, the server stays open.
    pub fn new(server: Server) -> Self {
        let drained = server.clone();
        let drain = move || {
            let server = drained.clone();
            tokio::spawn(async move { server.shutdown(DRAIN).await });
        };
        Self {
            server,
            reload: None,
            drain: Arc::new(drain),
        }
    }

    /// Sets what `POST /reload` does. It returns what has changed, or why nothing was changed.
    /// Default: such requests are refused.
    #[must_use]
    pub fn on_reload<F>(mut self, reload: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Reloaded, String>> + Send + 'static,
    {
        self.reload = Some(Arc::new(move || Box::pin(reload())));
        self
    }

    /// Sets what `POST /drain` does. It must not wait for the end. Default:
    /// [`Server::shutdown`] with 10 seconds.
    #[must_use]
    pub fn on_drain(mut self, drain: impl Fn() + Send + Sync + 'static) -> Self {
        self.drain = Arc::new(drain);
        self
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Returns the routes. They do not ask who calls: nest them behind an authentication.
    pub fn router(self) -> Router {
        let probes = probes(self.server.clone());
        Router::new()
            .route("/status", get(status))
            .route("/connections", get(connections))
            .route("/connections/{id}/close", post(close))
            .route("/topics", get(topics))
            .route("/revoke", post(revoke))
            .route("/unrevoke", post(unrevoke))
            .route("/drain", post(drain))
            .route("/reload", post(reload))
            .with_state(self)
            .merge(probes)
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

async fn status(State(admin): State<Admin>) -> Json<ServerStatus> {
    Json(admin.server.status())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfPrincipal {
    principal: Option<String>,
}

async fn connections(
    State(admin): State<Admin>,
    query: Result<Query<OfPrincipal>, QueryRejection>,
) -> Result<Json<Connections>, Problem> {
    let Query(OfPrincipal { principal }) = query.map_err(|error| wrong_query(&error))?;
    let mut connections = admin.server.connections();
    if let Some(principal) = principal {
        connections.retain(|connection| connection.principal == principal);
    }
    Ok(Json(Connections { connections }))
}

async fn close(
    State(admin): State<Admin>,
    id: Result<Path<u64>, PathRejection>,
) -> Result<Json<Closed>, Problem> {
    let Path(id) = id.map_err(|_| {
        let detail = "the id of a connection is a number: GET /connections lists them";
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    if admin.server.close_connection(id) {
        return Ok(Json(Closed { closed: 1 }));
    }
    let detail = format!("there is no connection {id}: GET /connections lists them");
    Err(Problem::new(StatusCode::NOT_FOUND, detail))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Matching {
    #[serde(rename = "match")]
    pattern: Option<Pattern>,
    limit: Option<usize>,
}

async fn topics(
    State(admin): State<Admin>,
    query: Result<Query<Matching>, QueryRejection>,
) -> Result<Json<Topics>, Problem> {
    let Query(Matching { pattern, limit }) = query.map_err(|error| wrong_query(&error))?;
    let limit = limit.unwrap_or(TOPICS).min(MOST_TOPICS);
    let pattern = pattern.as_ref().map_or(ALL, Pattern::as_pattern_ref);
    let topics = admin.server.topics(pattern, limit + 1);
    let mut topics =
        topics.map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    let more = topics.len() > limit;
    topics.truncate(limit);
    Ok(Json(Topics { topics, more }))
}

async fn revoke(State(admin): State<Admin>, body: Bytes) -> Result<Json<Closed>, Problem> {
    let revocation = asked(&body)?;
    match admin.server.revoke(&revocation) {
        Ok(closed) => Ok(Json(Closed { closed })),
        Err(error @ RevokeError::Full { .. }) => {
            let detail = error.to_string();
            Err(Problem::new(StatusCode::INSUFFICIENT_STORAGE, detail))
        }
        Err(error) => {
            let detail = error.to_string();
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail))
        }
    }
}

async fn unrevoke(State(admin): State<Admin>, body: Bytes) -> Result<Json<Unrevoked>, Problem> {
    let revocation = asked(&body)?;
    if admin.server.unrevoke(&revocation) {
        return Ok(Json(Unrevoked { removed: true }));
    }
    let detail = format!("no revocation of {revocation} is remembered");
    Err(Problem::new(StatusCode::NOT_FOUND, detail))
}

/// Returns the revocation that a body asks for.
fn asked(body: &[u8]) -> Result<qsse_server::Revocation, Problem> {
    let wrong = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let revoke: Revoke = serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
    revoke.revocation().ok_or_else(|| {
        wrong(r#"say what to revoke: {"principal": "NAME"} or {"token_id": "ID"}"#.into())
    })
}

async fn drain(State(admin): State<Admin>) -> StatusCode {
    (admin.drain)();
    StatusCode::ACCEPTED
}

async fn reload(State(admin): State<Admin>) -> Result<Json<Reloaded>, Problem> {
    let Some(reload) = admin.reload else {
        let detail = "this server has no configuration that it could read again";
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, detail));
    };
    let reloaded = reload().await;
    reloaded
        .map(Json)
        .map_err(|reason| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, reason))
}

fn wrong_query(error: &QueryRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, error.body_text())
}
