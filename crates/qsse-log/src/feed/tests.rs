//! What a feed contains, finds and drops.

use super::*;
use crate::event::Incoming;

const KIB: usize = 1 << 10;

/// A feed with a reader, and the bytes of all feeds.
fn feed() -> (Feed, Arc<FeedTotals>) {
    let totals = Arc::new(FeedTotals::default());
    let feed = Feed::new(
        "*".parse().unwrap(),
        Arc::clone(&totals),
        &Batches::default(),
    );
    (feed, totals)
}

/// Appends events with these seqs, each with a time of as many seconds and with `bytes` bytes.
fn write(feed: &Feed, seqs: impl IntoIterator<Item = u64>, bytes: usize, budget: usize) {
    for seq in seqs {
        let event = Incoming {
            seq,
            time: Timestamp::from_micros(seq * 1_000_000),
            topic: "a",
            kind: "message",
            data: &vec![b'x'; bytes],
        };
        let batches = feed.state.lock().batches.clone();
        let large = event.large().map(|batch| batches.hold_large(batch));
        feed.write().append(event, large.as_ref(), budget);
    }
}

/// Returns the seqs of the batches after a position, or the floor that it is below.
fn take(feed: &Feed, position: u64) -> Result<Vec<Vec<u64>>, u64> {
    let seqs = |batch: &Batch| batch.iter().map(|event| event.seq()).collect();
    let mut out = Vec::new();
    match feed.take(position, usize::MAX, &mut out) {
        Taken::Below { floor } => Err(floor),
        Taken::Inside(batch) => Ok(vec![seqs(&batch)]),
        Taken::Batches | Taken::Nothing => Ok(out.iter().map(seqs).collect()),
    }
}

#[test]
fn a_batch_is_sealed_when_it_is_asked_for_and_when_it_is_full() {
    let (feed, _) = feed();
    write(&feed, 1..=2, 10, 1 << 20);
    assert_eq!(take(&feed, 0), Ok(vec![vec![1, 2]]));
    assert_eq!(take(&feed, 2), Ok(vec![]));
    write(&feed, 3..=4, 10, 1 << 20);
    assert_eq!(take(&feed, 3), Ok(vec![vec![3, 4]]), "it is inside");
    assert_eq!(take(&feed, 1), Ok(vec![vec![1, 2]]));
    // Each is shorter than a batch may be.
    write(&feed, 5..=7, 40 * KIB, 1 << 20);
    assert_eq!(take(&feed, 4), Ok(vec![vec![5], vec![6], vec![7]]));
}

#[test]
fn a_take_ends_when_its_budget_is_passed() {
    let (feed, _) = feed();
    write(&feed, 1..=9, 40 * KIB, 1 << 20);
    for (budget, batches) in [
        (0, 1),
        (1, 1),
        (40 * KIB, 1),
        (41 * KIB, 2),
        (usize::MAX, 9),
    ] {
        let mut out = Vec::new();
        assert!(matches!(feed.take(0, budget, &mut out), Taken::Batches));
        assert_eq!(out.len(), batches, "{budget}");
    }
}

#[test]
fn a_time_is_found_in_what_is_sealed() {
    let (feed, _) = feed();
    for seqs in [1..=3, 4..=6, 7..=9] {
        write(&feed, seqs, 10, 1 << 20);
        take(&feed, 0).unwrap();
    }
    let before = |micros| feed.before(Timestamp::from_micros(micros));
    assert_eq!(
        (before(0), before(1_000_000)),
        (None, None),
        "older may be gone"
    );
    for (micros, seq) in [
        (1_000_001, 1),
        (2_000_000, 1),
        (3_000_000, 2),
        (4_000_000, 3),
        (4_000_001, 4),
        (9_000_000, 8),
        (20_000_000, 9),
    ] {
        assert_eq!(before(micros), Some(seq), "{micros}");
    }
}

#[test]
fn the_oldest_go_when_a_budget_is_passed_and_not_before() {
    let (feed, totals) = feed();
    let bytes = || totals.bytes();
    for seq in 1..=8 {
        write(&feed, [seq], KIB, 1 << 20);
        take(&feed, seq - 1).unwrap();
    }
    let held = bytes();
    assert!((8 * KIB..12 * KIB).contains(&held), "{held}");
    feed.shrink_to(held);
    assert_eq!(
        (take(&feed, 0).map(|batches| batches.len()), bytes()),
        (Ok(8), held)
    );
    feed.shrink_to(held - 1);
    assert_eq!(take(&feed, 0), Err(1));
    assert_eq!(take(&feed, 1).map(|batches| batches.len()), Ok(7));
    feed.shrink_to(0);
    assert_eq!(take(&feed, 7), Err(8));
    assert!(bytes() < held / 8, "{} of {held}", bytes());
    drop(feed);
    assert_eq!(bytes(), 0);
}

#[test]
fn other_forms_of_a_batch_are_counted_and_go_with_it() {
    let (feed, totals) = feed();
    let bytes = || totals.bytes();
    let encoding = Encoding::new("long", |_, _| Bytes::from(vec![0; 10 * KIB]));
    let mut batches = Vec::new();
    for seq in 1..=2 {
        write(&feed, [seq], 10, 1 << 20);
        feed.take(seq - 1, 1, &mut batches);
    }
    let plain = bytes();
    for batch in &batches {
        assert_eq!(feed.encoded(batch, encoding, Epoch::new(1)).len(), 10 * KIB);
    }
    let both = bytes();
    assert_eq!(both - plain, 2 * (10 * KIB + BATCH_OVERHEAD));
    feed.shrink_to(both - 1);
    assert_eq!(take(&feed, 0), Err(1));
    assert!(bytes() < both - 10 * KIB, "its form is gone too");
    feed.shrink_to(0);
    assert!(bytes() < plain);
    assert_eq!(feed.state.lock().sealed_bytes, 0);
}

#[test]
fn without_a_reader_nothing_is_held() {
    let (feed, totals) = feed();
    write(&feed, 1..=100, KIB, 1 << 20);
    assert!(totals.bytes() > 100 * KIB);
    feed.leave();
    assert_eq!(feed.readers(), 0);
    write(&feed, [101], KIB, 1 << 20);
    assert_eq!(totals.bytes(), 0);
    assert_eq!(take(&feed, 100), Err(101));
}

#[test]
fn what_readers_have_taken_is_known_of_those_that_keep_up() {
    let (feed, _) = feed();
    assert!(feed.is_taken(5), "nobody is behind");
    let [fast, slow] = [(5, false), (3, false)].map(|(position, lagging)| {
        let progress = feed.progress.add();
        progress.set(position, lagging);
        progress
    });
    write(&feed, [4, 5], 10, 1 << 20);
    assert!(feed.is_taken(3) && !feed.is_taken(4));
    slow.set(3, true);
    assert!(feed.is_taken(5));
    fast.set(4, false);
    assert!(!feed.is_taken(5));
    fast.set(5, false);
    assert!(feed.is_taken(9), "nothing of the feed is after that");
}
