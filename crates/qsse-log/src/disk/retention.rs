//! [`DiskRetention`]: what a storage in a directory retains.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::TopicRetention;

/// What a [`Disk`](super::Disk) retains. Each limit applies by itself; without any, all events are
/// retained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DiskRetention {
    /// Most bytes of all files together, which are freed by whole segments. Publishing exceeds the
    /// limit until the next call of [`Storage::retain`](crate::Storage::retain). After that call
    /// the files exceed it only if the newest segment alone does.
    pub max_bytes: Option<u64>,
    /// Most events of all topics together.
    pub max_events: Option<u64>,
    /// Greatest age of an event.
    #[serde(with = "qsse_proto::human_duration::optional")]
    pub max_age: Option<Duration>,
    /// Limits for the topics of patterns.
    pub topics: Vec<TopicRetention>,
}
