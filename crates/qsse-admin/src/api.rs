//! What requests and answers contain.

use std::time::Duration;

use qsse_proto::human_duration;
use qsse_server::{ConnectionInfo, Revocation, TopicInfo};
use serde::{Deserialize, Serialize};

/// The answer to `GET /connections`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Connections {
    /// The clients that were let in, in the order in which they came.
    pub connections: Vec<ConnectionInfo>,
}

/// The answer to `GET /topics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Topics {
    /// The topics, by name.
    pub topics: Vec<TopicInfo>,
    /// Whether there are more than the limit.
    pub more: bool,
}

/// The answer to requests that close connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Closed {
    /// The number of connections that were closed.
    pub closed: usize,
}

/// What to revoke: all tokens of a principal, or one token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// The name of a principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The id of a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// How long new connections are refused. Default: a day.
    #[serde(
        default,
        with = "human_duration::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub remember: Option<Duration>,
}

impl Revoke {
    /// Returns the revocation that it asks for; `None` unless it names one subject.
    pub fn revocation(&self) -> Option<Revocation> {
        let revocation = match (&self.principal, &self.token_id) {
            (Some(name), None) => Revocation::principal(name),
            (None, Some(id)) => Revocation::token_id(id),
            _ => return None,
        };
        Some(match self.remember {
            Some(time) => revocation.remember_for(time),
            None => revocation,
        })
    }
}

/// The answer to `POST /unrevoke`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unrevoked {
    /// Whether the revocation was remembered until now.
    pub removed: bool,
}

/// What a reload has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reloaded {
    /// What was read again and differs.
    pub changed: Vec<String>,
    /// Settings that differ, and have an effect only after a restart.
    pub needs_restart: Vec<String>,
}
