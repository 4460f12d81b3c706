//! What a log and its store tell each other, in the terms of the other.

use std::sync::Arc;

use qsse_store::{PublishKey, PublisherRun, StoreError};

use super::Kept;
use crate::publishers::{Run, StoredPublisher};
use crate::storage::{Entry, StorageError};

pub(super) fn store_entry(entry: Entry) -> qsse_store::Entry {
    let keys = entry.keys.into_iter().map(|(seq, key)| {
        let (scope, key) = (key.scope(), key.key().clone());
        (seq, PublishKey { scope, key })
    });
    let runs = entry.runs.into_iter().map(|(publisher, run)| PublisherRun {
        publisher,
        number: run.number,
        count: run.count,
        first: run.first,
        events: run.events,
    });
    qsse_store::Entry {
        batch: entry.batch,
        keys: keys.collect(),
        runs: runs.collect(),
    }
}

pub(super) fn publisher(publisher: qsse_store::Publisher) -> StoredPublisher {
    let run = |run: &PublisherRun| Run {
        number: run.number,
        count: run.count,
        first: run.first,
        events: run.events,
    };
    StoredPublisher {
        key: publisher.id,
        last: publisher.last,
        certain: publisher.certain,
        runs: publisher.runs.iter().map(run).collect(),
    }
}

pub(super) fn storage_error(error: StoreError) -> StorageError {
    match error {
        StoreError::Full { source } => StorageError::Full(Arc::new(source)),
        StoreError::Failed { .. } => StorageError::Ended(Arc::new(error)),
        _ => StorageError::Failed(Arc::new(error)),
    }
}

pub(super) fn retention(kept: Kept) -> qsse_store::Retention {
    let mut rules = qsse_store::Retention::default();
    (rules.max_bytes, rules.max_events) = (kept.max_bytes, kept.max_events);
    rules.max_age = kept.max_age;
    let topics = kept.topics.into_iter().map(|rule| {
        let mut topic = qsse_store::TopicRule::new(rule.pattern);
        topic.max_events = rule.max_events;
        topic.max_bytes = rule.max_bytes.map(|bytes| bytes as u64);
        topic.max_age = rule.max_age;
        topic
    });
    rules.topics = topics.collect();
    rules
}

pub(super) fn health(health: qsse_store::Health) -> Result<(), StorageError> {
    match health {
        qsse_store::Health::Good => Ok(()),
        qsse_store::Health::Failed { reason } => {
            Err(StorageError::Ended(Arc::new(StoreError::Failed { reason })))
        }
        _ => Err(StorageError::Full(Arc::new(std::io::Error::from(
            std::io::ErrorKind::StorageFull,
        )))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use qsse_store::Health;

    use super::*;
    use crate::config::Retention;

    #[test]
    fn a_full_store_may_go_on_and_one_that_failed_does_not() {
        assert!(health(Health::Good).is_ok());
        let full = health(Health::Full).unwrap_err();
        assert!(matches!(full, StorageError::Full(_)) && !full.is_final());
        let reason = "the disk is gone".to_owned();
        let failed = health(Health::Failed { reason }).unwrap_err();
        assert!(failed.is_final() && failed.to_string().contains("the disk is gone"));
    }

    #[test]
    fn errors_keep_their_kind() {
        let io = || std::io::Error::other("no");
        let full = storage_error(StoreError::Full { source: io() });
        assert!(matches!(full, StorageError::Full(_)));
        let reason = "no".to_owned();
        assert!(storage_error(StoreError::Failed { reason }).is_final());
    }

    #[test]
    fn every_bound_reaches_the_store() {
        let rule = Retention::of("a".parse().unwrap());
        let rule = rule
            .max_events(4)
            .max_bytes(5)
            .max_age(Duration::from_secs(6));
        let rules = retention(Kept {
            max_bytes: Some(1),
            max_events: Some(2),
            max_age: Some(Duration::from_secs(3)),
            topics: vec![rule],
        });
        assert_eq!((rules.max_bytes, rules.max_events), (Some(1), Some(2)));
        assert_eq!(rules.max_age, Some(Duration::from_secs(3)));
        let [topic] = &rules.topics[..] else {
            panic!("one rule")
        };
        assert_eq!(topic.pattern.as_str(), "a");
        assert_eq!((topic.max_events, topic.max_bytes), (Some(4), Some(5)));
        assert_eq!(topic.max_age, Some(Duration::from_secs(6)));
    }
}
