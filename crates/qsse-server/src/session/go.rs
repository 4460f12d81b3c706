//! Clients of the Go library: an offer, then events (section 12 of the protocol).
//!
//! ```text
//! offer ──▶ authenticate ──▶ admit each topic ──▶ delivery as JSON lines, on the one stream
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use qsse_log::{OnLag, Start};
use qsse_proto::go::{ErrorData, EventLine, LineDecoder, LineError, OFFER_BYTES, Offer};
use qsse_proto::{Code, Counted, limits};
use qsse_topic::{Filter, Pattern};
use qsse_transport::{Connection, ReadError, SendStream};

use crate::audit::AuditEvent;
use crate::session::delivery::{Delivery, Ended};
use crate::session::encoding::{GO_OPENING, StreamForm};
use crate::session::subscribing::{self, Refusal, check, open_stream, parse};
use crate::session::subscriptions::{ClientSubscription, Ends};
use crate::session::{End, Rejected, Session, hello, rights};
use crate::shared::Shared;

/// Serves a client until it leaves or its connection is closed (QP-12.6).
pub(crate) async fn serve(shared: &Arc<Shared>, connection: &Connection) -> Result<End, Rejected> {
    let first = tokio::time::timeout(shared.limits().hello_timeout, receive(connection));
    let late = |_| End::new(Code::HELLO_TIMEOUT, "no offer came in time");
    let offer = first.await.map_err(late)??;
    let most = limits::PATTERNS_PER_SUBSCRIPTION;
    if offer.topics().len() > most {
        let reason = format!("an offer has at most {}", Counted(most, "topic"));
        return Err(End::new(Code::PROTOCOL_VIOLATION, reason).into());
    }
    let token = Some(offer.token()).filter(|token| !token.is_empty());
    let checks = shared.clients.checks();
    let principal = hello::authenticate_new(shared, connection, token).await?;
    let _counted = shared.metrics.go_connections.hold();
    tracing::info!(
        peer = %connection.remote_address(), principal = principal.name(), topics = offer.topics().len(),
        "a client of the Go library connected"
    );
    let session = Arc::new(Session::new(
        shared,
        Arc::new(connection.clone()),
        principal,
    )?);
    session.admit(checks)?;
    Ok(tokio::select! {
        biased;
        () = shared.closing.cancelled() => End::shutting_down(),
        end = rights::end_of_rights(&session, rights::deny_all) => end,
        error = connection.closed() => error.into(),
        end = deliver(&session, connection, offer.topics()) => end,
    })
}

/// Reads the offer: the first line of the first stream.
async fn receive(connection: &Connection) -> Result<Offer, End> {
    let mut stream = connection.accept_uni().await?;
    let mut lines = LineDecoder::new(OFFER_BYTES);
    let line = loop {
        if let Some(line) = lines.next().map_err(refused)? {
            break line;
        }
        match stream.read_chunk().await {
            Ok(Some(chunk)) => lines.push(chunk),
            Ok(None) => break lines.finish().unwrap_or_default(),
            Err(ReadError::Connection(error)) => return Err(error.into()),
            Err(_) => return Err(End::new(Code::PROTOCOL_VIOLATION, "the offer was cut off")),
        }
    };
    Offer::parse(&line).map_err(refused)
}

/// The end for an invalid offer, which says nothing of its content.
fn refused(error: LineError) -> End {
    let code = match error {
        LineError::TooLong { .. } => Code::FRAME_TOO_LARGE,
        _ => Code::PROTOCOL_VIOLATION,
    };
    End::new(code, format!("the offer cannot be used: {error}"))
}

/// Opens the client's stream and writes its events until either side ends it (QP-12.9, QP-12.14).
async fn deliver(session: &Arc<Session>, connection: &Connection, topics: &[String]) -> End {
    let shared = &session.shared;
    // An offer has fewer topics than a `u32` can count.
    let count = topics.len() as u32;
    let places = match session.member.subscribe(count) {
        Ok(places) => places,
        Err(excess) => return excess.into(),
    };
    let (patterns, errors) = admit(session, topics).await;
    // The position is taken before the stream is visible: a client that sees it gets every later
    // event.
    let filter = Filter::new(patterns).ok();
    let reader = match &filter {
        Some(filter) => {
            match subscribing::find_start(session, filter, Start::Live, OnLag::CatchUp).await {
                Ok(reader) => Some(reader),
                Err(refusal) => {
                    let end = unopened(refusal);
                    shared.metrics.refuse("subscription", end.code);
                    return end;
                }
            }
        }
        None => None,
    };
    let stream = open_stream(session, connection).await;
    let stream = match stream {
        Ok(stream) => stream,
        Err(busy) => return End::new(Code::FAILED_TO_CREATE_STREAM, busy.message),
    };
    let ended = match (filter, reader) {
        (Some(_), Some(reader)) => {
            let filter = reader.filter().clone();
            let (session, ends) = (Arc::clone(session), Ends::new(places));
            let subscription = ClientSubscription {
                ends: ends.clone(),
                filter: Some(filter.clone()),
                patterns: count,
            };
            session.subscriptions.lock().add(0, subscription);
            let delivery =
                Delivery::new(session, filter, reader, StreamForm::GoLines, stream, ends);
            delivery.preface(errors).deliver().await
        }
        _ => idle(session, errors, stream).await,
    };
    match ended {
        Ended::Drained => {
            let read = connection.closed();
            let _ = tokio::time::timeout(shared.limits().drain_timeout, read).await;
            End::shutting_down()
        }
        _ => End::new(Code::NO_ERROR, "the client reads no further"),
    }
}

/// Returns the accepted patterns of an offer, and the lines that report the others (QP-12.8).
async fn admit(session: &Session, topics: &[String]) -> (Vec<Pattern>, Vec<Bytes>) {
    let (mut patterns, mut errors) = (Vec::new(), Vec::new());
    for (index, text) in topics.iter().enumerate() {
        subscribing::take_turns(session, index).await;
        let checked = match parse(session, text) {
            Ok(pattern) => match check(session, &pattern, false).await {
                Ok(()) => subscribing::full(session, &pattern),
                Err(refusal) => Err(refusal),
            },
            Err(refusal) => Err(refusal),
        };
        match checked {
            Ok(pattern) => {
                if means_another_thing_in_go(text) {
                    session.shared.go_warnings.pattern_differs(text);
                }
                let subject = Some(pattern.as_str());
                session.audit(AuditEvent::Subscribe, subject, Ok(()));
                patterns.push(pattern);
            }
            Err(refusal) => {
                session.shared.metrics.refuse("subscription", refusal.code);
                let why = Err((refusal.code, refusal.message.as_str()));
                session.audit(AuditEvent::Subscribe, Some(text), why);
                tracing::info!(
                    peer = %session.peer.address(), code = %refusal.code, topic = ?text,
                    "a topic of a Go client was refused"
                );
                let code = match refusal.code {
                    Code::NOT_AUTHORISED => Code::NOT_AUTHORISED,
                    _ => Code::TOPIC_NOT_AVAILABLE,
                };
                let error = ErrorData::new(code).with_topic(text.as_str());
                errors.push(EventLine::error(&error).to_line().into());
            }
        }
    }
    if patterns.is_empty() && !topics.is_empty() {
        tracing::warn!(
            peer = %session.peer.address(), principal = session.access.principal().name(),
            "all topics of a Go client were refused: it will receive nothing"
        );
    }
    (patterns, errors)
}

/// Closes the connection of a client whose events cannot be read now. The dialect cannot say that,
/// so the client is to connect again (QP-12.6).
fn unopened(refusal: Refusal) -> End {
    End::new(Code::BUSY, refusal.message)
}

/// Keeps a client connected that has nothing to receive, as the Go library does.
async fn idle(session: &Session, errors: Vec<Bytes>, mut stream: SendStream) -> Ended {
    let mut queue: VecDeque<Bytes> = errors.into();
    queue.push_front(GO_OPENING);
    if stream.write_whole_queue(&mut queue).await.is_err() {
        return Ended::Gone;
    }
    tokio::select! {
        biased;
        Ok(Some(_)) = stream.stopped() => return Ended::Unsubscribed,
        () = session.shared.draining.cancelled() => {}
    }
    stream.finish();
    Ended::Drained
}

/// Returns whether the Go library, which matches like file names, gives a pattern another meaning:
/// there `*` crosses dots, and `?` and `[` are special.
fn means_another_thing_in_go(pattern: &str) -> bool {
    let last = pattern.len().saturating_sub(1);
    pattern.contains(['?', '[', '\\']) || pattern.find('*').is_some_and(|at| at < last)
}

#[cfg(test)]
mod tests {
    use qsse_log::StartError;

    use super::*;

    #[test]
    fn a_client_whose_events_cannot_be_read_is_to_connect_again() {
        for error in [StartError::Busy, StartError::Unknown] {
            let reason = error.to_string();
            let end = unopened(error.into());
            assert_eq!((end.code, end.reason), (Code::BUSY, reason));
        }
    }

    #[test]
    fn patterns_that_mean_another_thing_are_known() {
        for same in ["people", "ride.*", "*"] {
            assert!(!means_another_thing_in_go(same), "{same}");
        }
        for other in ["ride.*.start", "*.*", "ride.?", "ride.[ab]", "a\\b"] {
            assert!(means_another_thing_in_go(other), "{other}");
        }
    }
}
