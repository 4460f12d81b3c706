//! [`Http`]: the routes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue,
};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::routing::{get, post};
use qsse_server::{Server, Visitor};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::bodies::Bodies;
use crate::config::{Config, Origins};
use crate::connection::ConnectionInfo;
use crate::credentials;
use crate::problem::Problem;
use crate::query::Query;
use crate::{events, publish, topics};

/// The header under which browsers send the last event that they have.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The header with the key of a publish.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Answers HTTP requests for a server.
#[derive(Clone, Debug)]
pub struct Http {
    server: Server,
    config: Config,
}

/// What all requests share.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) server: Server,
    pub(crate) config: Arc<Config>,
    pub(crate) bodies: Bodies,
}

impl Http {
    /// Answers for `server`, with default settings. It keeps the server open.
    pub fn new(server: Server) -> Self {
        let config = Config::default();
        Self { server, config }
    }

    /// Sets the settings.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Returns the routes, to be nested into a service or given to a
    /// [`Listener`](crate::Listener).
    ///
    /// In a service of your own, serve it with
    /// [`into_make_service_with_connect_info::<SocketAddr>`][connect], so that the limits for a
    /// network know where clients connect from. Without it, all clients are of one address. The
    /// addresses are those of the connections: a proxy in front is one client to these limits.
    ///
    /// [connect]: axum::Router::into_make_service_with_connect_info
    pub fn router(self) -> Router {
        let cors = cors(&self.config.origins);
        let state = State {
            bodies: Bodies::new(self.config.bodies_bytes),
            server: self.server,
            config: Arc::new(self.config),
        };
        Router::new()
            .route("/events", get(events::events))
            .route("/publish", post(publish::lines))
            .route("/publish/{topic}", post(publish::one))
            .route("/publish-matching/{pattern}", post(publish::matching))
            .route("/topics", get(topics::topics))
            .route("/topics/{topic}/last", get(topics::last))
            .fallback(not_here)
            .method_not_allowed_fallback(not_so)
            .layer(cors)
            .with_state(state)
    }
}

async fn not_here() -> Problem {
    let detail = "there are /events, /publish, /publish/TOPIC, /publish-matching/PATTERN, /topics \
                  and /topics/TOPIC/last";
    Problem::new(StatusCode::NOT_FOUND, detail)
}

async fn not_so(method: Method) -> Problem {
    let detail =
        format!("{method} is not possible here: events and topics take GET, publishing POST");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

fn cors(origins: &Origins) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            ACCEPT,
            AUTHORIZATION,
            CACHE_CONTROL,
            CONTENT_TYPE,
            LAST_EVENT_ID,
            IDEMPOTENCY_KEY,
        ])
        .max_age(std::time::Duration::from_secs(3_600));
    match origins {
        Origins::None => CorsLayer::new(),
        Origins::Any => layer.allow_origin(AllowOrigin::any()),
        Origins::These(origins) => {
            let origins = origins
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin).ok());
            layer
                .allow_origin(AllowOrigin::list(origins))
                .allow_credentials(true)
        }
    }
}

/// A request whose client was let in.
pub(crate) struct Visit {
    pub(crate) visitor: Visitor,
    pub(crate) query: Query,
}

/// Reads the parameters of a request, of which these are `known`, and lets its client in.
pub(crate) async fn visit(state: &State, parts: &Parts, known: &[&str]) -> Result<Visit, Problem> {
    let names: Vec<_> = known.iter().copied().chain(["token"]).collect();
    let query = Query::read(parts.uri.query(), &names)?;
    let Parts {
        method,
        uri,
        headers,
        ..
    } = parts;
    if state.config.local_only {
        credentials::check_local(uri, headers)?;
    }
    let token = credentials::token(&state.config, method, uri, headers, &query)?;
    let connection = match parts.extensions.get::<ConnectionInfo>() {
        Some(connection) => connection.clone(),
        None => {
            let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
            let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
            ConnectionInfo::new(address.map_or(nowhere, |info| info.0), Vec::new())
        }
    };
    connection.note_request();
    let visitor = connection.visit(&state.server, parts.version, token).await;
    let visitor = visitor.map_err(|refused| Problem::not_let_in(&refused))?;
    Ok(Visit { visitor, query })
}

/// Reads a part of the path, in which `%2E` and the like stand for bytes.
pub(crate) async fn name(parts: &mut Parts) -> Result<String, Problem> {
    let path = axum::extract::Path::<String>::from_request_parts(parts, &()).await;
    let wrong = |_| Problem::bad_request("the name in the path is not UTF-8");
    path.map(|path| path.0).map_err(wrong)
}
