//! A log over several starts of its server: ids stay valid, and positions of another log are
//! recognised.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;
use std::time::Duration;

use qsse_log::disk::{self, Disk, DiskRetention};
use qsse_log::{Acknowledge, Config, Known, Log, NewEvent, Now, OnLag, PublishKey, Start, Step};
use qsse_proto::stream::Outcome;
use qsse_proto::{Epoch, EventId};
use tempfile::TempDir;

/// Opens a log in a folder, in the epoch with this number, and runs its group commit.
fn open(folder: &TempDir, epoch: u64) -> Log {
    let options = disk::options(Epoch::new(epoch), Acknowledge::Synced).salt_if_new(1);
    let disk = Disk::open(folder.path(), options, DiskRetention::default()).unwrap();
    let log = Log::stored(Arc::new(disk), Config::default(), Now::default());
    let keeper = log.clone();
    tokio::spawn(async move { keeper.run_group_commit(Now::default).await });
    log
}

async fn publish(log: &Log, key: Option<&PublishKey>) -> EventId {
    let (id, receipt) = {
        let mut appender = log.appender(Now::default());
        let taken = appender
            .push_all(&[NewEvent::new("a".try_into().unwrap(), b"x")])
            .unwrap();
        if let Some(key) = key {
            appender.remember(key.clone(), taken);
        }
        (taken.unwrap().first, appender.receipt())
    };
    receipt.stored().await.unwrap();
    id
}

/// Returns how a reader starts, and the ids of all events after it.
async fn read(log: &Log, start: Start) -> (Outcome, EventId, Vec<EventId>) {
    let filter = "*".parse().unwrap();
    let mut reader = log.open(&filter, start, OnLag::CatchUp).await.unwrap();
    let (outcome, started) = (reader.outcome(), reader.started());
    let (mut batches, mut ids) = (Vec::new(), Vec::new());
    loop {
        match reader.step(1 << 20, &mut batches) {
            Step::Idle(_) => return (outcome, started, ids),
            Step::Stored => reader.fetch(1 << 20).await,
            Step::Batches | Step::Looking => {}
            step => panic!("{step:?}"),
        }
        for batch in batches.drain(..) {
            let epoch = log.lineage().epoch_of(batch.first_seq());
            let of = |seq| log.lineage().epoch_of(seq) == epoch;
            assert!(of(batch.first_seq()) && of(batch.last_seq()), "one epoch");
            ids.extend(batch.iter().map(|event| EventId::new(epoch, event.seq())));
        }
    }
}

fn id(epoch: u64, seq: u64) -> EventId {
    EventId::new(Epoch::new(epoch), seq)
}

// QP-2.5, QP-2.6, QP-7.7
#[tokio::test]
async fn ids_outlast_a_restart_and_those_of_a_lost_future_are_resets() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, 1);
    for seq in 1..=3 {
        assert_eq!(publish(&log, None).await, id(1, seq));
    }
    log.close().await.unwrap();
    drop(log);

    let log = open(&folder, 2);
    assert_eq!(log.visible(), id(1, 3), "nothing of the new epoch yet");
    for seq in 4..=5 {
        assert_eq!(publish(&log, None).await, id(2, seq));
    }
    log.close().await.unwrap();
    drop(log);

    let log = open(&folder, 3);
    publish(&log, None).await;
    let all = [id(1, 1), id(1, 2), id(1, 3), id(2, 4), id(2, 5), id(3, 6)];
    let (outcome, started, ids) = read(&log, Start::Earliest).await;
    assert_eq!((outcome, started), (Outcome::Resumed, id(1, 0)));
    assert_eq!(ids, all);
    let (outcome, started, ids) = read(&log, Start::After(id(2, 4))).await;
    assert_eq!((outcome, started), (Outcome::Resumed, id(2, 4)));
    assert_eq!(ids, all[4..]);
    // Ids that another copy of this store has assigned to seqs that are here too.
    for lost in [id(1, 4), id(2, 6), id(3, 7), id(9, 5)] {
        let (outcome, started, ids) = read(&log, Start::After(lost)).await;
        assert_eq!((outcome, started), (Outcome::Reset, id(1, 0)), "{lost:?}");
        assert_eq!(ids, all);
    }
}

#[tokio::test]
async fn a_publish_that_was_taken_before_the_restart_has_the_id_that_it_got() {
    let folder = tempfile::tempdir().unwrap();
    let key = PublishKey::new([1; 16], "k");
    let log = open(&folder, 1);
    let taken = publish(&log, Some(&key)).await;
    log.close().await.unwrap();
    drop(log);
    let log = open(&folder, 2);
    publish(&log, None).await;
    let appender = log.appender(Now::default());
    let Known::Taken(Some(again)) = appender.look_up(&key, Some(Duration::ZERO)) else {
        panic!("known")
    };
    assert_eq!((again.first, again.last), (taken, taken));
}
