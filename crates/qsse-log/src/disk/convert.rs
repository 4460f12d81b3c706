//! Conversions between the types of the log and of the store.

use std::sync::Arc;

use qsse_store::StoreError;

use super::retention::DiskRetention;
use crate::key::PublishKey;
use crate::lineage::Lineage;
use crate::publisher::{PublisherRun, PublisherState};
use crate::storage::{Entry, Recovered, StorageError, StoredEvents};

pub(super) fn store_entry(entry: Entry) -> qsse_store::Entry {
    let keys = entry.keys.into_iter().map(|(seq, key)| {
        let (scope, key) = (key.scope(), key.key().clone());
        (seq, qsse_store::PublishKey { scope, key })
    });
    let runs = entry.runs.into_iter();
    let runs = runs.map(|(publisher, run)| qsse_store::PublisherRun {
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

pub(super) fn log_events(read: qsse_store::StoredEvents) -> StoredEvents {
    StoredEvents {
        batches: read.batches,
        lost: read.lost,
        floor: read.floor,
        through: read.through,
    }
}

pub(super) fn log_recovered(found: qsse_store::Recovered) -> Recovered {
    let mut epochs = found.epochs.into_iter();
    let (oldest, _) = epochs.next().expect("an open store has an epoch");
    let begin = |lineage: Lineage, (epoch, first)| lineage.then(epoch, first);
    let keys = found.keys.into_iter();
    let key = |(key, seq, _): (qsse_store::PublishKey, u64, _)| {
        (PublishKey::new(key.scope, key.key), seq)
    };
    Recovered {
        lineage: epochs.fold(Lineage::new(oldest), begin),
        head: found.next_seq - 1,
        last_time: found.last_time,
        latest: found.latest,
        keys: keys.map(key).collect(),
        keys_age: found.keys_age,
        publishers: found.publishers.into_iter().map(publisher).collect(),
        publishers_age: found.publishers_age,
        clean: found.clean,
        ..Recovered::new(oldest)
    }
}

fn publisher(publisher: qsse_store::PublisherState) -> PublisherState {
    let run = |run: &qsse_store::PublisherRun| PublisherRun {
        number: run.number,
        count: run.count,
        first: run.first,
        events: run.events,
    };
    PublisherState {
        id: publisher.id,
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

pub(super) fn store_retention(retention: DiskRetention) -> qsse_store::Retention {
    let topics = retention.topics.into_iter().map(|rule| {
        let mut topic = qsse_store::TopicRetention::new(rule.pattern);
        topic.max_events = rule.max_events;
        topic.max_bytes = rule.max_bytes.map(|bytes| bytes as u64);
        topic.max_age = rule.max_age;
        topic
    });
    let mut all = qsse_store::Retention::default();
    (all.max_bytes, all.max_events) = (retention.max_bytes, retention.max_events);
    all.max_age = retention.max_age;
    all.topics = topics.collect();
    all
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
    use crate::config::TopicRetention;

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
        let rule = TopicRetention::of("a".parse().unwrap());
        let rule = rule
            .max_events(4)
            .max_bytes(5)
            .max_age(Duration::from_secs(6));
        let rules = store_retention(DiskRetention {
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
