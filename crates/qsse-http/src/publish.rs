//! `POST /publish…`.

use axum::Json;
use axum::extract::{Request, State as Extract};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use qsse_proto::publish::Key;
use qsse_server::Kind;
use qsse_server::visitor::{NewPublish, Visitor};

use crate::api::{PublishedLines, PublishedOne, Reached};
use crate::bodies::{Bodies, Chunks, Whole};
use crate::problem::Problem;
use crate::query::Query;
use crate::request::{IDEMPOTENCY_KEY, State, Visit, name, visit};

mod lines;

use lines::{Content, Line, Lines};

/// Lines that are published in one step.
const STEP_LINES: usize = 256;

/// Bytes of lines that are published in one step.
const STEP_BYTES: usize = 256 << 10;

/// One event: the body is its data.
pub(crate) async fn one(
    Extract(state): Extract<State>,
    request: Request,
) -> Result<Json<PublishedOne>, Problem> {
    let (mut parts, body) = request.into_parts();
    let topic = name(&mut parts).await?;
    let visit = visit(&state, &parts, &["kind"]).await?;
    visit.visitor.check_publish(&topic, false).await?;
    let (publish, _room) = read(&state, &parts, &visit.query, topic, body).await?;
    let id = visit.visitor.publish(publish).await?;
    Ok(Json(PublishedOne { id }))
}

/// One event on each topic that a pattern matches.
pub(crate) async fn matching(
    Extract(state): Extract<State>,
    request: Request,
) -> Result<Json<Reached>, Problem> {
    let (mut parts, body) = request.into_parts();
    let pattern = name(&mut parts).await?;
    let visit = visit(&state, &parts, &["kind"]).await?;
    visit.visitor.check_publish(&pattern, true).await?;
    let (publish, _room) = read(&state, &parts, &visit.query, pattern, body).await?;
    let published = visit.visitor.publish_counted(publish.matching()).await?;
    Ok(Json(Reached {
        count: published.count(),
        first: published.first(),
        last: published.last(),
    }))
}

/// Reads what is to be published.
async fn read(
    state: &State,
    parts: &Parts,
    query: &Query,
    name: String,
    body: axum::body::Body,
) -> Result<(NewPublish, Whole), Problem> {
    let kind = match query.one("kind")? {
        Some(kind) => Kind::new(kind).map_err(|error| Problem::bad_request(error.to_string()))?,
        None => Kind::MESSAGE,
    };
    let key = key(&parts.headers)?;
    check_encoding(&parts.headers)?;
    let length = parts.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
    let (config, limit) = (&state.config, state.server.max_event_bytes());
    let body = state.bodies.read(body, length, limit, config.body_timeout);
    let body = body.await?;
    let mut publish = NewPublish::new(name, body.bytes.clone()).kind(kind);
    if let Some(key) = key {
        publish = publish.key(key);
    }
    Ok((publish, body))
}

/// Checks that a body is sent as it is.
fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let is_plain = |name, plain: &str| {
        let mut values = headers.get_all(name).iter();
        values.all(|value| value.as_bytes().eq_ignore_ascii_case(plain.as_bytes()))
    };
    let name = if !is_plain(CONTENT_ENCODING, "identity") {
        "Content-Encoding"
    } else if !is_plain(TRANSFER_ENCODING, "chunked") {
        "Transfer-Encoding"
    } else {
        return Ok(());
    };
    let detail = format!("a body with a {name} is not unpacked here: send it as it is");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// Returns the key of a publish. It may be in quotes, as the draft of the header has it.
fn key(headers: &HeaderMap) -> Result<Option<Key>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let bytes = value.as_bytes();
    let bare = bytes
        .strip_prefix(b"\"")
        .and_then(|bytes| bytes.strip_suffix(b"\""));
    let key = Key::new(Bytes::copy_from_slice(bare.unwrap_or(bytes)));
    let wrong = |error| Problem::bad_request(format!("Idempotency-Key: {error}"));
    key.map(Some).map_err(wrong)
}

/// Many events: one in each line, as `qsse sub --json` prints them.
pub(crate) async fn lines(
    Extract(state): Extract<State>,
    request: Request,
) -> Result<(StatusCode, Json<PublishedLines>), Problem> {
    let (parts, body) = request.into_parts();
    if parts.headers.contains_key(IDEMPOTENCY_KEY) {
        let detail = "Idempotency-Key is for one event: publish it at /publish/TOPIC";
        return Err(Problem::bad_request(detail));
    }
    check_encoding(&parts.headers)?;
    let Visit { visitor, .. } = visit(&state, &parts, &[]).await?;
    let config = &state.config;
    let chunks = Chunks::new(body, config.lines_bytes, config.body_timeout);
    let longest = lines::longest(state.server.max_event_bytes());
    let mut publishing = Publishing {
        bodies: &state.bodies,
        visitor: &visitor,
        step: Vec::new(),
        numbers: Vec::new(),
        bytes: 0,
        answer: PublishedLines::default(),
    };
    let ended = publishing.run(chunks, Lines::new(longest)).await;
    let mut answer = publishing.answer;
    answer.refused.sort_by_key(|refused| refused.line);
    match ended {
        // Tools look at the status alone.
        Ok(()) if answer.count == 0 && answer.refused_count > 0 => {
            Ok((StatusCode::BAD_REQUEST, Json(answer)))
        }
        Ok(()) => Ok((StatusCode::OK, Json(answer))),
        Err(mut problem) => {
            problem.detail = format!("{}; {} events were published", problem.detail, answer.count);
            Err(problem)
        }
    }
}

/// The lines of one request.
struct Publishing<'a> {
    bodies: &'a Bodies,
    visitor: &'a Visitor,
    step: Vec<NewPublish>,
    /// The numbers of the lines in `step`.
    numbers: Vec<u64>,
    /// The bytes of `step`.
    bytes: usize,
    answer: PublishedLines,
}

impl Publishing<'_> {
    async fn run(&mut self, mut chunks: Chunks, mut lines: Lines) -> Result<(), Problem> {
        loop {
            while let Some(line) = lines.next() {
                self.take(line).await;
                // A line costs little, but there may be millions in a body.
                tokio::task::consume_budget().await;
            }
            // Whoever sends lines as they come wants them published as they come.
            self.publish().await;
            // Long lines wait in memory until they are complete.
            let _room = self.bodies.claim(lines.stored()).await;
            match chunks.next().await {
                Ok(Some(chunk)) => lines.push(&chunk),
                Ok(None) => break,
                Err(problem) => return Err(problem),
            }
        }
        if let Some(line) = lines.finish() {
            self.take(line).await;
        }
        self.publish().await;
        Ok(())
    }

    async fn take(&mut self, line: Line) {
        match line.content {
            Ok(Content::Empty) => {}
            Ok(Content::Notice) => self.answer.skipped += 1,
            Ok(Content::Event(publish)) => {
                self.bytes += publish.data.len();
                self.step.push(publish);
                self.numbers.push(line.number);
            }
            Err((code, message)) => {
                let refused = self.visitor.refuse_publish(code, message).await;
                let code = refused.code.get();
                self.answer.refuse(line.number, code, refused.message);
            }
        }
        if self.step.len() >= STEP_LINES || self.bytes >= STEP_BYTES {
            self.publish().await;
        }
    }

    async fn publish(&mut self) {
        if self.step.is_empty() {
            return;
        }
        self.bytes = 0;
        let step = std::mem::take(&mut self.step);
        let answers = self.visitor.publish_all(step).await;
        for (number, answer) in self.numbers.drain(..).zip(answers) {
            match answer {
                Ok(published) => {
                    let answer = &mut self.answer;
                    answer.count += published.count();
                    answer.first = answer.first.or(published.first());
                    answer.last = published.last().or(answer.last);
                }
                Err(refused) => self
                    .answer
                    .refuse(number, refused.code.get(), refused.message),
            }
        }
    }
}
