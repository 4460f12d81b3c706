//! What filters that were made for the purpose cost those who publish.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::{Duration, Instant};

use qsse_log::{Config, Log, NewEvent, Now, Reader, Start};
use qsse_proto::Epoch;
use qsse_topic::TopicRef;

const FILTERS: u64 = 65_536;
/// Fewer where a publish takes thirty times as long.
const TOPICS: u64 = if cfg!(debug_assertions) {
    50_000
} else {
    1_000_000
};

/// A reproducible sequence of numbers.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Returns 15 segments of `a` and `b`, with `wildcards` of them replaced.
    fn segments(&mut self, wildcards: usize) -> String {
        let mut segments = [(); 15].map(|()| {
            if self.next().is_multiple_of(2) {
                "a"
            } else {
                "b"
            }
        });
        for _ in 0..wildcards {
            segments[self.next() as usize % 15] = "*";
        }
        segments.join(".")
    }
}

/// Subscribes to all filters and publishes on all topics. Returns how long 99 of 100 publishes
/// took, the longest one, and the bytes of the table of topics.
fn publish(
    mut filter: impl FnMut(u64) -> String,
    mut topic: impl FnMut(u64) -> String,
) -> (Duration, Duration, usize) {
    let config = Config::default()
        .history_bytes(64 << 20)
        .filters(1 << 20, usize::MAX);
    let log = Log::new(Epoch::new(1), config);
    let open = |n| {
        log.reader(&filter(n).parse().unwrap(), Start::Live)
            .unwrap()
    };
    let readers: Vec<Reader> = (0..FILTERS).map(open).collect();
    let mut times = Vec::with_capacity(TOPICS as usize);
    let mut most_bytes = 0;
    for n in 0..TOPICS {
        let name = topic(n);
        let event = NewEvent::new(TopicRef::new(&name).unwrap(), b"x");
        let begun = Instant::now();
        log.append(Now::default(), event).unwrap();
        times.push(begun.elapsed());
        if n % 10_000 == 0 {
            most_bytes = most_bytes.max(log.stats().topic_bytes);
        }
    }
    drop(readers);
    times.sort_unstable();
    (
        times[times.len() * 99 / 100],
        times[times.len() - 1],
        most_bytes,
    )
}

#[test]
#[ignore = "it takes minutes, and prints times"]
fn filters_sixteen_deep_cost_a_publish_little_more_than_usual_ones() {
    let usual = publish(
        |n| format!("ride.{n}.*"),
        |n| format!("ride.{}.{n}", n % FILTERS),
    );
    let (mut of_filters, mut of_topics) = (Numbers(1), Numbers(2));
    let hostile = publish(
        |_| format!("{}.*", of_filters.segments(3)),
        |n| format!("{}.{n}", of_topics.segments(0)),
    );
    for (name, (p99, max, bytes)) in [("usual", usual), ("hostile", hostile)] {
        let mib = bytes >> 20;
        println!("{name}: p99 {p99:?}, max {max:?}, table of topics {mib} MiB");
    }
    let ratio = hostile.0.as_secs_f64() / usual.0.as_secs_f64();
    println!("the p99 is {ratio:.1} x (target 10)");
    // The names of a million topics, and 16 MiB of routes.
    assert!(hostile.2 < 500 << 20, "{} bytes", hostile.2);
}
