//! [`Status`]: the program's exit status.

use std::fmt::Display;
use std::process::ExitCode;

use qsse_client::{
    CloseReason, Code, ConnectError, ConnectionError, DisconnectReason, PublishError,
    SubscribeError, SubscriptionError,
};
use qsse_server::BindError;
use qsse_server::transport::BindError as SocketError;
use qsse_server::transport::tls::TlsError;

use crate::console::OutputError;

/// The exit statuses. Scripts depend on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Done = 0,
    Other = 1,
    Usage = 2,
    Unreachable = 3,
    Certificate = 4,
    Token = 5,
    Topic = 6,
    Unacknowledged = 7,
    Listen = 8,
    Gap = 9,
    Interrupted = 130,
}

impl Status {
    /// All statuses with their meanings, for help and documents.
    pub(crate) const MEANINGS: &[(Self, &str)] = &[
        (Self::Done, "done"),
        (Self::Other, "another failure"),
        (Self::Usage, "wrong usage or configuration"),
        (
            Self::Unreachable,
            "the server cannot be reached, was lost, or time ran out",
        ),
        (Self::Certificate, "the server's certificate was refused"),
        (Self::Token, "the token was refused"),
        (Self::Topic, "the topic or pattern was refused"),
        (Self::Unacknowledged, "not every event was acknowledged"),
        (Self::Listen, "cannot listen on the address"),
        (Self::Gap, "events were missed, with --fail-on-gap"),
        (
            Self::Interrupted,
            "interrupted before --count was met, or by a second signal",
        ),
    ];
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// An error with a status. Anything may be its source.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    status: Status,
    message: String,
}

/// Creates an error with a status and a message.
pub(crate) fn fail(status: Status, message: impl Into<String>) -> anyhow::Error {
    Failure {
        status,
        message: message.into(),
    }
    .into()
}

/// Creates an error about usage or configuration.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    fail(Status::Usage, message)
}

/// Creates an error about usage or configuration, with the system's error.
pub(crate) fn usage_because(message: impl Display, error: impl Display) -> anyhow::Error {
    usage(format!("{message}: {error}"))
}

/// Returns the status for an error of the program or its libraries.
pub(crate) fn status_of(error: &anyhow::Error) -> Status {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        failure.status
    } else if let Some(error) = error.downcast_ref::<ConnectError>() {
        connecting(error)
    } else if let Some(error) = error.downcast_ref::<SubscribeError>() {
        subscribing(error)
    } else if let Some(error) = error.downcast_ref::<SubscriptionError>() {
        receiving(error)
    } else if let Some(error) = error.downcast_ref::<PublishError>() {
        publishing(error)
    } else if let Some(error) = error.downcast_ref::<BindError>() {
        serving(error)
    } else if let Some(error) = error.downcast_ref::<SocketError>() {
        listening(error)
    } else if error.downcast_ref::<TlsError>().is_some() {
        Status::Usage
    } else if let Some(error) = error.downcast_ref::<OutputError>() {
        writing(error)
    } else {
        Status::Other
    }
}

/// Returns whether the error need not be reported, because the reader is gone.
pub(crate) fn is_quiet(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<OutputError>()
        .is_some_and(OutputError::is_closed)
}

fn connecting(error: &ConnectError) -> Status {
    match error {
        ConnectError::Url(_)
        | ConnectError::Setting(_)
        | ConnectError::Tls(_)
        | ConnectError::NobodyTrusted
        | ConnectError::InsecureAndFingerprint
        | ConnectError::TokenTooLong { .. }
        | ConnectError::PublisherName { .. }
        | ConnectError::Token(_) => Status::Usage,
        ConnectError::Certificate(_) => Status::Certificate,
        ConnectError::NotAuthorised { .. } => Status::Token,
        _ => Status::Unreachable,
    }
}

fn subscribing(error: &SubscribeError) -> Status {
    match error {
        SubscribeError::Filter(_)
        | SubscribeError::TooManyPatterns { .. }
        | SubscribeError::Unsupported { .. } => Status::Usage,
        SubscribeError::Refused { code, .. } => refused(*code),
        SubscribeError::Connect(error) => connecting(error),
        SubscribeError::Closed(reason) => closed(reason),
        _ => Status::Other,
    }
}

fn receiving(error: &SubscriptionError) -> Status {
    match error {
        SubscriptionError::Refused { code, .. } => refused(*code),
        SubscriptionError::Closed(reason) => closed(reason),
        SubscriptionError::Lagged => Status::Unreachable,
        _ => Status::Other,
    }
}

fn publishing(error: &PublishError) -> Status {
    match error {
        PublishError::Topic(_)
        | PublishError::Pattern(_)
        | PublishError::Kind(_)
        | PublishError::Key(_)
        | PublishError::Unsupported => Status::Usage,
        PublishError::Refused { code, .. } => match refused(*code) {
            Status::Topic => Status::Topic,
            _ => Status::Unacknowledged,
        },
        PublishError::NotConnected { .. } => Status::Unreachable,
        PublishError::Closed(reason) => closed(reason),
        _ => Status::Unacknowledged,
    }
}

/// Returns the status for a request that the server refused although it accepted the token.
fn refused(code: Code) -> Status {
    match code {
        Code::TOKEN_EXPIRED => Status::Token,
        Code::NOT_AUTHORISED
        | Code::TOPIC_NOT_AVAILABLE
        | Code::INVALID_TOPIC
        | Code::TOO_MANY_TOPICS
        | Code::TOO_MANY_WILDCARDS => Status::Topic,
        code if code.is_retryable() => Status::Unreachable,
        _ => Status::Other,
    }
}

pub(crate) fn closed(reason: &CloseReason) -> Status {
    match reason {
        CloseReason::Failed(error) | CloseReason::Lost(DisconnectReason::Connect(error)) => {
            connecting(error)
        }
        CloseReason::Lost(
            DisconnectReason::Lost(ConnectionError::Closed { code, .. })
            | DisconnectReason::Goodbye { code, .. },
        ) if matches!(*code, Code::NOT_AUTHORISED | Code::TOKEN_EXPIRED) => Status::Token,
        CloseReason::Lost(_) => Status::Unreachable,
        _ => Status::Other,
    }
}

fn writing(error: &OutputError) -> Status {
    match error.is_closed() {
        true => Status::Done,
        false => Status::Other,
    }
}

fn serving(error: &BindError) -> Status {
    match error {
        BindError::Endpoint(error) => listening(error),
        _ => Status::Usage,
    }
}

fn listening(error: &SocketError) -> Status {
    match error {
        SocketError::Tls(_) | SocketError::Shards { .. } | SocketError::ShardsUnsupported => {
            Status::Usage
        }
        _ => Status::Listen,
    }
}
