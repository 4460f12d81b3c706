//! [`Http`]: the routes.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::routing::{get, post};
use qsse_server::{Origins, Server};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::bodies::Bodies;
use crate::config::Config;
use crate::problem::Problem;
use crate::request::{IDEMPOTENCY_KEY, LAST_EVENT_ID, State};
use crate::{certificates, client, events, publish, topics};

/// Answers HTTP requests for a server.
#[derive(Clone, Debug)]
pub struct Http {
    server: Server,
    config: Config,
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
            .route("/qsse.js", get(client::client))
            .route(certificates::PATH, get(certificates::hashes))
            .fallback(not_here)
            .method_not_allowed_fallback(not_so)
            .layer(cors)
            .with_state(state)
    }
}

async fn not_here() -> Problem {
    let detail = "there are /events, /publish, /publish/TOPIC, /publish-matching/PATTERN, /topics, \
                  /topics/TOPIC/last and /qsse.js";
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
        .expose_headers([ETAG, RETRY_AFTER])
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
