//! [`AuditSink`]: who did what, and whether it was allowed.

use std::net::SocketAddr;

use qsse_proto::{Code, Timestamp};
use serde::Serialize;

/// What is recorded for an audit: who, from where, what, and whether it was allowed.
///
/// It never contains a token. Texts of clients are in it as they were sent: encode them, as JSON
/// does. As data, fields without a value are left out.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct AuditRecord<'a> {
    /// When.
    pub time: Timestamp,
    /// What was asked for.
    pub event: AuditEvent,
    /// Whether it was allowed.
    pub allowed: bool,
    /// The name of the principal; none if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<&'a str>,
    /// What names its token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<&'a str>,
    /// Where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// What it is about: patterns, a token, a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<&'a str>,
    /// Why it was refused, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Why it was refused, or what came of it, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AuditEvent {
    /// To be let in.
    Connect,
    /// To go on with a newer token.
    Refresh,
    /// To subscribe.
    Subscribe,
    /// To publish. Only refusals are recorded.
    Publish,
    /// To take rights back.
    Revoke,
    /// To give them again.
    Unrevoke,
    /// To close a connection.
    Close,
    /// To read the configuration again.
    Reload,
    /// To let clients read to the end, and end.
    Drain,
    /// A request of an administrator.
    Admin,
}

impl<'a> AuditRecord<'a> {
    /// Makes a record of something that happens now.
    pub fn new(event: AuditEvent, allowed: bool) -> Self {
        Self {
            time: Timestamp::from(std::time::SystemTime::now()),
            event,
            allowed,
            principal: None,
            token_id: None,
            address: None,
            subject: None,
            code: None,
            reason: None,
        }
    }

    /// Sets who it was.
    #[must_use]
    pub fn principal(mut self, name: &'a str) -> Self {
        self.principal = Some(name);
        self
    }

    /// Sets where it came from.
    #[must_use]
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Sets what it is about.
    #[must_use]
    pub fn subject(mut self, subject: &'a str) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Sets why it was refused, or what came of it.
    #[must_use]
    pub fn reason(mut self, reason: &'a str) -> Self {
        self.reason = Some(reason);
        self
    }

    pub(crate) fn code(mut self, code: Code) -> Self {
        self.code = Some(code);
        self
    }
}

/// Takes records for an audit.
///
/// A server reports each client that is let in or not, each refreshed token, each subscription that
/// is accepted or refused, each publish that is refused, and what its owner does to it. Publishes
/// that are allowed are not reported.
pub trait AuditSink: Send + Sync + 'static {
    /// Takes a record, and returns whether it did. The server counts those that were not taken as
    /// the metric `audit_dropped`.
    ///
    /// It is called where clients are served: it must not wait.
    fn record(&self, record: &AuditRecord<'_>) -> bool;
}
