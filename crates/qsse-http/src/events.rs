//! `GET /events`: a subscription.

use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use qsse_proto::text::{SseForm, TextNotice, write_retry};
use qsse_server::Code;
use qsse_server::visitor::TextForm;

use crate::problem::Problem;
use crate::query::{self, Query};
use crate::request::{LAST_EVENT_ID, State, visit};

const KNOWN: &[&str] = &["topic", "start", "last_event_id", "on_lag", "format"];

/// Reverse proxies of nginx's kind hold back what they read, unless this says no.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// When a client comes back that was refused because there was too much to do.
const RETRY: std::time::Duration = std::time::Duration::from_secs(5);

pub(crate) async fn events(Extract(state): Extract<State>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let wanted = Wanted::of(&parts.headers);
    match open(&state, &parts, wanted).await {
        Ok(response) => response,
        // A browser's EventSource gives up for ever after any other status.
        Err(problem) if wanted == Wanted::EventSource && problem.is_temporary() => {
            come_back(&problem)
        }
        Err(problem) => problem.into_response(),
    }
}

/// What a client reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Server-sent events, and nothing else.
    EventSource,
    /// Server-sent events.
    Sse,
    /// Lines of JSON.
    Lines,
}

impl Wanted {
    fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        let accept = accept.unwrap_or_default();
        if accept.contains("application/x-ndjson") {
            Self::Lines
        } else if accept.contains("text/event-stream") {
            Self::EventSource
        } else {
            Self::Sse
        }
    }
}

async fn open(state: &State, parts: &Parts, wanted: Wanted) -> Result<Response, Problem> {
    let visit = visit(state, parts, KNOWN).await?;
    let (visitor, query) = (visit.visitor, visit.query);
    let patterns = query.all("topic");
    if patterns.is_empty() {
        let detail = "say what to subscribe to: ?topic=ride.* (several times for several)";
        return Err(Problem::bad_request(detail));
    }
    let last = parts
        .headers
        .get(LAST_EVENT_ID)
        .map(|value| value.as_bytes());
    let form = form(&query, wanted)?;
    let stream = visitor
        .subscribe(patterns, form)
        .start(query::start(&query, last)?)
        .on_lag(query::on_lag(&query)?)
        .await?;
    let blocks = stream.map(Ok::<Bytes, std::convert::Infallible>);
    Ok(stream_of(form, Body::from_stream(blocks)))
}

fn form(query: &Query, wanted: Wanted) -> Result<TextForm, Problem> {
    let format = query.one("format")?;
    Ok(match (wanted, format) {
        (Wanted::Lines, _) => TextForm::Lines,
        (_, None | Some("plain")) => TextForm::Sse(SseForm::Plain),
        (_, Some("json")) => TextForm::Sse(SseForm::Json),
        (_, Some(other)) => {
            return Err(Problem::bad_request(format!(
                "format={other:?}: write plain or json"
            )));
        }
    })
}

fn stream_of(form: TextForm, body: Body) -> Response {
    let kind = match form {
        TextForm::Lines => "application/x-ndjson",
        _ => "text/event-stream",
    };
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (ACCEL_BUFFERING, "no"),
    ];
    (StatusCode::OK, headers, body).into_response()
}

/// Tells an EventSource to come back later.
fn come_back(problem: &Problem) -> Response {
    let mut out = Vec::new();
    write_retry(RETRY, &mut out);
    let code = problem.code.unwrap_or(Code::BUSY.get());
    let end = TextNotice::End {
        code,
        message: &problem.detail,
        retry: true,
    };
    end.write_sse(&mut out);
    stream_of(TextForm::Sse(SseForm::Plain), out.into())
}
