//! `GET /topics`, and the newest event of one.

use axum::Json;
use axum::extract::{Request, State as Extract};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::response::{IntoResponse, Response};
use qsse_proto::text::TextEvent;

use crate::api::Topics;
use crate::problem::Problem;
use crate::request::{State, name, visit};

/// The topics of an answer, unless it asks for more or fewer.
const LIMIT: usize = 100;

pub(crate) async fn topics(
    Extract(state): Extract<State>,
    request: Request,
) -> Result<Json<Topics>, Problem> {
    let (parts, _) = request.into_parts();
    let visit = visit(&state, &parts, &["match", "limit"]).await?;
    let pattern = visit.query.one("match")?.unwrap_or("*");
    let limit = match visit.query.one("limit")? {
        Some(text) => text.parse().map_err(|_| {
            Problem::bad_request(format!("limit={text:?}: write a number, at most 1000"))
        })?,
        None => LIMIT,
    };
    let topics = visit.visitor.topics(pattern, limit).await?;
    Ok(Json(Topics { topics }))
}

pub(crate) async fn last(
    Extract(state): Extract<State>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let topic = name(&mut parts).await?;
    let visit = visit(&state, &parts, &[]).await?;
    let Some(event) = visit.visitor.last(&topic).await? else {
        let detail = format!("{topic} has no event that is kept");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    let tag = format!("\"{}\"", event.id());
    let known = parts.headers.get_all(IF_NONE_MATCH).iter();
    let known = known.filter_map(|value| value.to_str().ok());
    let is_known = known
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().trim_start_matches("W/") == tag);
    let headers = [(ETAG, tag.as_str()), (CACHE_CONTROL, "no-cache")];
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let mut body = Vec::new();
    TextEvent::from(&event).write_line(&mut body);
    let kind = [(CONTENT_TYPE, "application/json")];
    Ok((headers, kind, body).into_response())
}
