//! Subscribing: the checks before a subscription's stream is opened (section 4 of the protocol).

use std::sync::Arc;

use qsse_log::{Reader, StartError};
use qsse_proto::control::{OnLag, Start, Subscribe};
use qsse_proto::{Code, Counted, limits};
use qsse_topic::{Filter, Pattern};
use qsse_transport::{Connection, SendStream};

use crate::access::Answer;
use crate::auth::Action;
use crate::fairness::quota::Place;
use crate::session::Session;
use crate::session::delivery::Delivery;
use crate::session::encoding::StreamForm;
use crate::session::member::Excess;
use crate::session::subscriptions::{Ends, Subscriptions};

/// Why a subscription was refused.
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// The pattern that it is about.
    pub(crate) subject: Option<String>,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            subject: None,
        }
    }

    pub(crate) fn denied(pattern: &Pattern) -> Self {
        let message = format!("not allowed to subscribe to {pattern}");
        Self::about(Code::NOT_AUTHORISED, message, pattern.as_str())
    }

    /// For a subscription that was accepted before: the authorizer said no, or nothing, after which
    /// the client is to ask again.
    fn of(answer: Answer, pattern: &Pattern) -> Self {
        if answer != Answer::Missing {
            return Self::denied(pattern);
        }
        let message = format!("the server cannot tell whether {pattern} is allowed: ask again");
        Self::about(Code::BUSY, message, pattern.as_str())
    }

    fn about(code: Code, message: impl Into<String>, subject: &str) -> Self {
        Self {
            code,
            message: message.into(),
            subject: Some(subject.to_owned()),
        }
    }
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Self {
        let code = match error {
            StartError::Unreadable { .. } | StartError::Busy | StartError::TooManyFilters => {
                Code::BUSY
            }
            _ => Code::UNSUPPORTED,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Excess> for Refusal {
    fn from(excess: Excess) -> Self {
        Self::new(excess.code, excess.message)
    }
}

/// Returns why a subscription that was accepted before is not allowed to the present principal, if
/// so.
pub(crate) async fn recheck(session: &Session, filter: &Filter) -> Option<Refusal> {
    let (pattern, answer) = session.access.denied(filter).await?;
    Some(Refusal::of(answer, &pattern))
}

/// Before this many more patterns other tasks have a turn. To check one takes microseconds.
const PATTERNS_AT_ONCE: usize = 32;

/// Lets others have their turn before the work on the pattern with this number, now and then.
pub(crate) async fn take_turns(session: &Session, index: usize) {
    if index > 0 && index.is_multiple_of(PATTERNS_AT_ONCE) {
        drop(session.searcher().turn().await);
    }
}

/// Counts a subscription with this many patterns, if there may be another one.
pub(crate) fn count(
    session: &Session,
    subscriptions: &mut Subscriptions,
    patterns: u32,
) -> Result<Vec<Place>, Refusal> {
    let shared = &session.shared;
    subscriptions.sweep();
    if shared.is_leaving() {
        let message = "the server is shutting down";
        return Err(Refusal::new(Code::SHUTTING_DOWN, message));
    }
    let limits = shared.limits();
    let max = limits.max_subscriptions;
    if subscriptions.len() >= max as usize {
        let message = format!("a connection has at most {}", Counted(max, "subscription"));
        return Err(Refusal::new(Code::TOO_MANY_SUBSCRIPTIONS, message));
    }
    let max = limits.max_patterns;
    if subscriptions.patterns().saturating_add(patterns) > max {
        let message = format!(
            "a connection has at most {} in all subscriptions: end one, or use wildcards",
            Counted(max, "pattern")
        );
        return Err(Refusal::new(Code::TOO_MANY_SUBSCRIPTIONS, message));
    }
    Ok(session.member.subscribe(patterns)?)
}

/// Checks a subscription and opens its stream, unless the client unsubscribes before.
pub(crate) async fn open(
    session: Arc<Session>,
    connection: &Connection,
    subscribe: Subscribe,
    ends: Ends,
) -> Result<Box<Delivery>, Refusal> {
    let unsubscribed = ends.clone();
    tokio::select! {
        biased;
        () = unsubscribed.cancelled() => {
            Err(Refusal::new(Code::UNSUBSCRIBED, "it was unsubscribed before it was open"))
        }
        opened = check_and_open(session, connection, &subscribe, ends) => opened,
    }
}

async fn check_and_open(
    session: Arc<Session>,
    connection: &Connection,
    subscribe: &Subscribe,
    ends: Ends,
) -> Result<Box<Delivery>, Refusal> {
    // Before the stream is opened, because an opened stream must carry a header.
    let Started { filter, reader, .. } = start(&session, subscribe).await?;
    let stream = open_stream(&session, connection).await?;
    let span = session.shared.log.lineage().span_of(reader.started().seq());
    let id = subscribe.id;
    let form = StreamForm::Frames { id, span };
    let delivery = Delivery::new(session, filter, reader, form, stream, ends);
    Ok(delivery.write_ahead().await)
}

/// A subscription that may begin.
pub(crate) struct Started {
    /// What it is to, as the server calls it.
    pub(crate) filter: Filter,
    pub(crate) reader: Reader,
    /// The generation of the principal that was asked about.
    pub(crate) generation: u64,
}

/// Checks a subscription and finds where it begins.
pub(crate) async fn start(session: &Session, subscribe: &Subscribe) -> Result<Started, Refusal> {
    let most = limits::PATTERNS_PER_SUBSCRIPTION;
    if subscribe.patterns.len() > most {
        let message = format!("a subscription has at most {}", Counted(most, "pattern"));
        return Err(Refusal::new(Code::INVALID_TOPIC, message));
    }
    let mut parsed = Vec::with_capacity(subscribe.patterns.len());
    for (index, text) in subscribe.patterns.iter().enumerate() {
        take_turns(session, index).await;
        parsed.push(parse(session, text)?);
    }
    let asked = filter_of(session, parsed).await?;
    let resumes = matches!(subscribe.start, Start::After(_));
    let generation = loop {
        let generation = session.access.generation();
        for (index, pattern) in asked.patterns().iter().enumerate() {
            take_turns(session, index).await;
            check(session, pattern, resumes).await?;
        }
        // All patterns were checked against one token.
        if session.access.generation() == generation {
            break generation;
        }
    };
    let filter = full_filter(session, asked).await?;
    let reader = find_start(session, &filter, subscribe.start, subscribe.on_lag).await?;
    Ok(Started {
        // Subscriptions to the same share the patterns.
        filter: reader.filter().clone(),
        reader,
        generation,
    })
}

/// Opens a reader at its start. A connection searches for a few starts at a time; the others wait.
pub(crate) async fn find_start(
    session: &Session,
    filter: &Filter,
    start: Start,
    on_lag: OnLag,
) -> Result<Reader, Refusal> {
    let _place = match start {
        Start::Last(_) | Start::Since(_) => session.start_place().await,
        _ => None,
    };
    let log = &session.shared.log;
    let turn = || async { session.searcher().turn().await };
    Ok(log.open_in_turns(filter, start, on_lag, turn).await?)
}

/// Makes a filter. One of many patterns waits for its turn, because it takes a millisecond.
async fn filter_of(session: &Session, patterns: Vec<Pattern>) -> Result<Filter, Refusal> {
    let many = patterns.len() > PATTERNS_AT_ONCE;
    let _turn = match many {
        true => Some(session.searcher().turn().await),
        false => None,
    };
    let filter = Filter::new(patterns);
    filter.map_err(|error| Refusal::new(Code::INVALID_TOPIC, error.to_string()))
}

/// Returns a filter of the client as the server calls it.
async fn full_filter(session: &Session, asked: Filter) -> Result<Filter, Refusal> {
    if session.access.namespace().prefix().is_none() {
        return Ok(asked);
    }
    let full = asked.patterns().iter();
    let full: Result<Vec<_>, _> = full.map(|pattern| self::full(session, pattern)).collect();
    filter_of(session, full?).await
}

/// Parses a pattern, within the server's limits.
pub(crate) fn parse(session: &Session, text: &str) -> Result<Pattern, Refusal> {
    let pattern = Pattern::new(text).map_err(|error| {
        let message = format!("{text:?} is not a pattern: {error}");
        Refusal::about(Code::INVALID_TOPIC, message, text)
    })?;
    let checked = session.check_wildcards(&pattern);
    checked.map_err(|message| Refusal::about(Code::TOO_MANY_WILDCARDS, message, text))?;
    Ok(pattern)
}

/// Returns a pattern of the client as the server calls it.
pub(crate) fn full(session: &Session, pattern: &Pattern) -> Result<Pattern, Refusal> {
    let full = session.access.namespace().full_pattern(pattern);
    full.map_err(|_| {
        let message = format!("{pattern} is longer than the server permits for this token");
        Refusal::about(Code::INVALID_TOPIC, message, pattern.as_str())
    })
}

/// Checks that the client may read such topics and the server has them, in this order: who may not
/// read them does not learn whether there are any. For the same reason a wildcard is accepted
/// without topics if the authorizer knows only names: it has not said yet what the client may read.
///
/// Without an answer of the authorizer a new subscription is denied. One that `resumes` is told to
/// ask again, because a denial would end it for good.
pub(crate) async fn check(
    session: &Session,
    pattern: &Pattern,
    resumes: bool,
) -> Result<(), Refusal> {
    match session.access.allows_pattern(pattern).await {
        Answer::Yes => {}
        answer if resumes => return Err(Refusal::of(answer, pattern)),
        _ => return Err(Refusal::denied(pattern)),
    }
    // Names with `$` are the server's, and it has none in a namespace.
    let is_reserved = pattern.as_str().starts_with('$');
    if is_reserved && session.access.namespace().prefix().is_some() {
        return Err(Refusal::denied(pattern));
    }
    let full = full(session, pattern)?;
    let unjudged = !pattern.is_exact() && !session.access.knows_patterns();
    if unjudged || session.shared.topics.has(&full) {
        return Ok(());
    }
    let nearest = session.nearest(Action::Subscribe, pattern.as_str()).await;
    let hint = nearest.map_or_else(String::new, |near| format!(": did you mean {near}?"));
    let message = format!("no topic of this server matches {pattern}{hint}");
    let code = Code::TOPIC_NOT_AVAILABLE;
    Err(Refusal::about(code, message, pattern.as_str()))
}

/// Opens a stream to the client. It does not wait long for a client that allows no more streams.
pub(crate) async fn open_stream(
    session: &Session,
    connection: &Connection,
) -> Result<SendStream, Refusal> {
    let busy = |message| Refusal::new(Code::BUSY, message);
    let patience = session.shared.limits().hello_timeout;
    let open = tokio::time::timeout(patience, connection.open_uni());
    let stream = open
        .await
        .map_err(|_| busy("the client allows no more streams"))?;
    stream.map_err(|_| busy("the connection has ended"))
}
