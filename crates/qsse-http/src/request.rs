//! What all requests have in common: the server, their parameters, and who sends them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::HeaderName;
use axum::http::request::Parts;
use qsse_server::Server;
use qsse_server::visitor::Visitor;

use crate::bodies::Bodies;
use crate::config::Config;
use crate::connection::ConnectionInfo;
use crate::credentials;
use crate::problem::Problem;
use crate::query::Query;

/// The header under which browsers send the last event that they have.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The header with the key of a publish.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What all requests share.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) server: Server,
    pub(crate) config: Arc<Config>,
    pub(crate) bodies: Bodies,
}

/// A request whose client was let in.
pub(crate) struct Visit {
    pub(crate) visitor: Visitor,
    pub(crate) query: Query,
}

/// Reads the parameters of a request, of which these are `known`, and lets its client in.
pub(crate) async fn visit(state: &State, parts: &Parts, known: &[&str]) -> Result<Visit, Problem> {
    let names: Vec<_> = known.iter().copied().chain(["token"]).collect();
    let query = Query::read(parts.uri.query(), &names, known)?;
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
