//! What feeds share, what they leave to others, and how they go.

use std::hash::{BuildHasherDefault, DefaultHasher};

use qsse_proto::Timestamp;
use qsse_topic::IntoFilter;

use super::room::{IDLE_FEEDS, LOOKED_AT};
use super::*;

/// Hashes filters. Any hash will do, as long as equal filters have the same.
type Hasher = BuildHasherDefault<DefaultHasher>;

fn try_open(
    feeds: &mut Feeds,
    filter: impl IntoFilter,
    config: &Config,
) -> Result<JoinedFeed, StartError> {
    let filter = filter.into_filter().unwrap();
    let key = FilterKey::new(&filter, &Hasher::default());
    loop {
        if let Some(joined) = feeds.join(&filter, key, config)? {
            while !feeds.route(&joined, 0) {}
            return Ok(joined);
        }
    }
}

fn open(feeds: &mut Feeds, filter: impl IntoFilter, config: &Config) -> JoinedFeed {
    try_open(feeds, filter, config).unwrap()
}

/// Appends an event to one feed, as a run of its own.
fn append(feeds: &mut Feeds, joined: &JoinedFeed, seq: u64, bytes: usize, config: &Config) {
    feeds.relieve(config);
    let event = Incoming {
        seq,
        time: Timestamp::default(),
        topic: "t",
        kind: "message",
        data: &vec![7; bytes],
    };
    feeds.writer(config).append(joined.id, event, None);
}

/// Returns a filter of `count` patterns that no other call returns.
fn patterns(call: usize, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("p{call}.*.{n}")).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn sweep(feeds: &mut Feeds, now: Duration, config: &Config) {
    let mut from = 0;
    while !feeds.sweep(from, 64, now, config) {
        from += 64;
    }
}

#[test]
fn feeds_that_nobody_reads_go_when_there_are_too_many() {
    let config = Config::default();
    let mut feeds = Feeds::default();
    let read = open(&mut feeds, "read", &config);
    for n in 0..10 * IDLE_FEEDS {
        open(&mut feeds, format!("t{n}"), &config);
        assert!(feeds.len() <= IDLE_FEEDS + 2, "{n}");
        assert!(feeds.slots.len() <= IDLE_FEEDS + 2 * LOOKED_AT, "{n}");
    }
    assert_eq!(open(&mut feeds, "read", &config).id, read.id);
}

#[test]
fn a_feed_with_many_patterns_comes_and_goes_in_small_steps() {
    let config = Config::default();
    let filter = patterns(0, 1_000).into_filter().unwrap();
    let key = FilterKey::new(&filter, &Hasher::default());
    let mut feeds = Feeds::default();
    let generation = feeds.generation;
    let joined = feeds.join(&filter, key, &config).unwrap().unwrap();
    let mut before = 0;
    while !feeds.route(&joined, 1_000) {
        assert_eq!(feeds.routes.len(), before + ROUTED);
        assert_eq!(feeds.generation, generation, "cached routes stay");
        before += ROUTED;
        append(&mut feeds, &joined, before as u64, 10, &config);
    }
    assert_eq!(before, 1_000 / ROUTED * ROUTED);
    assert_eq!(feeds.routes.len(), 1_000);
    assert!(feeds.generation > generation);
    assert_eq!(joined.seal(), 1_000, "it has no event of the time before");
    // Another reader finds it as it is.
    let other = feeds.join(&filter, key, &config).unwrap().unwrap();
    assert!(feeds.route(&other, 2_000) && other.seal() == 1_000);
    drop((joined, other));
    for now in [1, 11] {
        assert!(feeds.sweep(0, 1, seconds(now), &config) == (now == 1));
    }
    assert_eq!((feeds.len(), feeds.totals.idle()), (0, 0));
    let mut steps = 1;
    while feeds.remove_dropped(ROUTED) {
        steps += 1;
        assert_eq!(feeds.routes.len(), 1_000 - (steps * ROUTED));
    }
    assert_eq!((feeds.routes.len(), feeds.filter_bytes()), (0, 0));
}

#[test]
fn a_feed_that_was_not_completed_goes_too() {
    let config = Config::default();
    let filter = patterns(0, 1_000).into_filter().unwrap();
    let key = FilterKey::new(&filter, &Hasher::default());
    let mut feeds = Feeds::default();
    let joined = feeds.join(&filter, key, &config).unwrap().unwrap();
    assert!(!feeds.route(&joined, 0));
    sweep(&mut feeds, seconds(1), &config);
    sweep(&mut feeds, seconds(11), &config);
    assert_eq!(feeds.len(), 1, "somebody still waits for it");
    drop(joined);
    sweep(&mut feeds, seconds(12), &config);
    sweep(&mut feeds, seconds(22), &config);
    assert_eq!(
        (feeds.len(), feeds.routes.len(), feeds.filter_bytes()),
        (0, 0, 0)
    );
}

#[test]
fn a_feed_goes_when_nobody_has_read_it_for_a_while() {
    let config = Config::default();
    let mut feeds = Feeds::default();
    drop(open(&mut feeds, "a", &config));
    sweep(&mut feeds, seconds(1), &config);
    let joined = open(&mut feeds, "a", &config);
    sweep(&mut feeds, seconds(5), &config);
    drop(joined);
    sweep(&mut feeds, seconds(12), &config);
    sweep(&mut feeds, seconds(21), &config);
    assert_eq!(feeds.len(), 1, "it was read in between");
    sweep(&mut feeds, seconds(22), &config);
    assert_eq!((feeds.len(), feeds.routes().0.len()), (0, 0));
}

#[test]
fn a_feed_that_is_being_dropped_is_not_found_again() {
    let config = Config::default();
    let mut feeds = Feeds::default();
    let many = 5 * ROUTED;
    let old = open(&mut feeds, patterns(0, many), &config).id;
    feeds.shed();
    let new = open(&mut feeds, patterns(0, many), &config);
    assert_ne!(old, new.id);
    while feeds.remove_dropped(1) {}
    assert_eq!(open(&mut feeds, patterns(0, many), &config).id, new.id);
    assert_eq!((feeds.routes.len(), feeds.totals.idle()), (many, 0));
}

#[test]
fn new_filters_are_refused_when_those_that_are_read_leave_no_room() {
    let config = Config::default().filters(3, usize::MAX);
    let mut feeds = Feeds::default();
    let mut read: Vec<_> = (0..3)
        .map(|n| open(&mut feeds, format!("t{n}"), &config))
        .collect();
    let refused = try_open(&mut feeds, "more", &config);
    assert_eq!(refused.err(), Some(StartError::TooManyFilters));
    open(&mut feeds, "t1", &config);
    read.pop();
    read.push(open(&mut feeds, "more", &config));

    let config = Config::default().filters(1_000, 100_000);
    let mut feeds = Feeds::default();
    let mut read = Vec::new();
    while let Ok(feed) = try_open(&mut feeds, patterns(read.len(), 50), &config) {
        read.push(feed);
        assert!(feeds.filter_bytes() <= 100_000);
    }
    assert!((2..20).contains(&read.len()), "{}", read.len());
}

#[test]
fn a_feed_that_alone_has_events_may_use_the_room_of_others() {
    let config = Config::default().feeds_bytes(1 << 20).feed_bytes(512 << 10);
    let mut feeds = Feeds::default();
    let honest = open(&mut feeds, "honest", &config);
    let _others: Vec<_> = (0..2_000)
        .map(|n| open(&mut feeds, format!("t{n}"), &config))
        .collect();
    for seq in 1..=400 {
        append(&mut feeds, &honest, seq, 1_000, &config);
    }
    assert_eq!(honest.seal(), 0, "it has lost nothing");
}

#[test]
fn large_feeds_give_way_and_small_ones_keep_what_they_have() {
    let bound = 1 << 20;
    let config = Config::default().feeds_bytes(bound).feed_bytes(bound);
    let mut feeds = Feeds::default();
    let small = open(&mut feeds, "small", &config);
    for seq in 1..=10 {
        append(&mut feeds, &small, seq, 1_000, &config);
    }
    let (mut seq, mut large) = (10, Vec::new());
    for n in 0..20 {
        large.push(open(&mut feeds, format!("t{n}"), &config));
        for _ in 0..400 {
            seq += 1;
            append(&mut feeds, &large[n], seq, 1_000, &config);
            // The spare room of batches that are open exceeds it.
            assert!(feeds.bytes() <= bound * 5 / 4, "{} bytes", feeds.bytes());
        }
    }
    assert!(feeds.bytes() > bound / 2, "{} bytes", feeds.bytes());
    assert_eq!(small.seal(), 0, "it has lost nothing");
}

#[test]
fn a_run_of_events_that_all_feeds_match_stays_within_the_bound() {
    let bound = 1 << 20;
    let config = Config::default().feeds_bytes(bound).feed_min_bytes(0);
    let mut feeds = Feeds::default();
    let all: Vec<_> = (0..50)
        .map(|n| open(&mut feeds, format!("t{n}"), &config))
        .collect();
    let mut writer = feeds.writer(&config);
    for seq in 1..=400 {
        let event = Incoming {
            seq,
            time: Timestamp::default(),
            topic: "t",
            kind: "message",
            data: &[7; 1_000],
        };
        all.iter()
            .for_each(|feed| writer.append(feed.id, event, None));
    }
    drop(writer);
    assert!(feeds.bytes() <= 2 * bound, "{} bytes", feeds.bytes());
}

#[test]
fn a_feed_has_a_minimum_however_many_there_are() {
    let config = Config::default()
        .feeds_bytes(100_000)
        .feed_min_bytes(20_000);
    let mut feeds = Feeds::default();
    let all: Vec<_> = (0..50)
        .map(|n| open(&mut feeds, format!("t{n}"), &config))
        .collect();
    for seq in 1..=100 {
        for feed in &all {
            append(&mut feeds, feed, seq, 100, &config);
        }
    }
    let kept = |feed: &JoinedFeed| feed.seal() == 0;
    assert!(
        all.iter().all(kept),
        "100 events of 100 bytes are less than the minimum"
    );
    assert!(feeds.bytes() > config.feeds_bytes);
}

#[test]
fn feeds_without_readers_give_everything_first() {
    let config = Config::default().feeds_bytes(100_000);
    let mut feeds = Feeds::default();
    let [read, idle] = ["read", "idle"].map(|name| open(&mut feeds, name, &config));
    for seq in 1..=50 {
        append(&mut feeds, &idle, seq, 1_000, &config);
    }
    drop(idle);
    for seq in 51..=110 {
        append(&mut feeds, &read, seq, 1_000, &config);
    }
    assert_eq!(read.seal(), 0, "it has lost nothing");
    let idle = open(&mut feeds, "idle", &config);
    assert_eq!(idle.seal(), 50, "it has nothing left");
}

#[test]
fn the_memory_of_patterns_is_what_is_counted() {
    for (name, first) in [("exact", "x"), ("wild", "*")] {
        for depth in [1, 8] {
            let rest = ["seg"; 8][..depth].join(".");
            let filter = |f| {
                let of = |n| format!("{first}.{f}x{n}.{rest}");
                (0..100).map(of).collect::<Vec<_>>().into_filter().unwrap()
            };
            let config = Config::default();
            let mut feeds = Feeds::default();
            let mut read = Vec::with_capacity(100);
            let held = allocation_counter::measure(|| {
                (0..100).for_each(|f| read.push(open(&mut feeds, filter(f), &config)));
            });
            let ratio = held.bytes_current as f64 / feeds.filter_bytes() as f64;
            assert!(
                (0.5..1.15).contains(&ratio),
                "{name}, {depth} deep: {ratio}"
            );
        }
    }
}
