//! What filters that were made for the purpose cost those who publish, in nodes of the matcher's
//! tree: times would depend on the machine.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use qsse_log::{Config, Log, NewEvent, Now, Reader, Start};
use qsse_proto::Epoch;
use qsse_topic::TopicRef;

/// The most wildcards that a server allows in a pattern by default.
const WILDCARDS: u32 = 4;

/// A log whose subscribers have these patterns, and its readers.
struct Subscribed {
    log: Log,
    _readers: Vec<Reader>,
}

impl Subscribed {
    fn to(patterns: impl IntoIterator<Item = String>) -> Self {
        let config = Config::default()
            .history_bytes(64 << 20)
            .filters(1 << 20, usize::MAX);
        let log = Log::new(Epoch::new(1), config);
        // A filter of several would drop those that others of it contain.
        let open = |pattern: String| {
            let filter = pattern.parse().unwrap();
            log.reader(&filter, Start::Live).unwrap()
        };
        let readers = patterns.into_iter().map(open).collect();
        Self {
            log,
            _readers: readers,
        }
    }

    /// Publishes an event. Returns how much work it was.
    fn publish(&self, topic: &str) -> u64 {
        let event = NewEvent::new(TopicRef::new(topic).unwrap(), b"x");
        let mut appender = self.log.appender(Now::default());
        appender.push(event).unwrap();
        appender.work()
    }
}

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
        let mut segments = [(); 15].map(|()| match self.next() % 2 {
            0 => "a",
            _ => "b",
        });
        for _ in 0..wildcards {
            segments[self.next() as usize % 15] = "*";
        }
        segments.join(".")
    }
}

/// Returns every pattern of up to `depth` segments, each `a` or `*`, that a server accepts.
fn every_mixture(depth: u32) -> impl Iterator<Item = String> {
    let of_length = |length| (0..1_u32 << length).map(move |bits| (length, bits));
    let all = (1..=depth).flat_map(of_length);
    let allowed = all.filter(|(_, bits)| (1..=WILDCARDS).contains(&bits.count_ones()));
    allowed.map(|(length, bits)| {
        let segment = |at| if bits >> at & 1 == 1 { "*" } else { "a" };
        (0..length).map(segment).collect::<Vec<_>>().join(".")
    })
}

/// Returns a topic of `a`s, of which only the last segment differs for each number.
fn topic(depth: usize, number: usize) -> String {
    format!("{}{number}", "a.".repeat(depth - 1))
}

#[test]
fn an_event_on_a_known_topic_is_no_work_whatever_the_filters_are() {
    let subscribed = Subscribed::to(every_mixture(10));
    assert!(subscribed.publish(&topic(10, 1)) > 100);
    assert_eq!(subscribed.publish(&topic(10, 1)), 0);
    let _new = subscribed.log.reader(&"b.*".parse().unwrap(), Start::Live);
    assert!(
        subscribed.publish(&topic(10, 1)) > 100,
        "it is looked up again"
    );
}

#[test]
fn filters_made_for_topics_of_up_to_seven_segments_make_new_ones_at_most_ten_times_the_work() {
    for depth in 1..=7 {
        let names = "a.".repeat(depth - 1);
        let usual = Subscribed::to((0..1_000).map(|n| format!("{names}{n}.*")));
        let usual = usual.publish(&topic(depth, 7));
        let hostile = Subscribed::to(every_mixture(depth as u32 + 1));
        let hostile = hostile.publish(&vec!["a"; depth].join("."));
        assert!(usual > 16 && hostile >= usual, "{usual}, {hostile}");
        assert!(hostile <= 10 * usual, "{depth} deep: {hostile} to {usual}");
    }
}

#[test]
fn filters_for_other_topics_are_no_work() {
    let mut numbers = Numbers(1);
    let subscribed = Subscribed::to((0..65_536).map(|_| format!("{}.*", numbers.segments(3))));
    for n in 0..1_000 {
        let work = subscribed.publish(&format!("ride.{n}.start"));
        // The root, and what begins with one to three wildcards.
        assert!(work <= 16 + 4, "{work}");
    }
}

#[test]
fn the_deepest_topics_are_bounded_work() {
    let mut numbers = Numbers(1);
    let of_filters = (0..65_536).map(|_| format!("{}.*", numbers.segments(3)));
    let random = Subscribed::to(of_filters);
    let mut numbers = Numbers(2);
    let works = (0..1_000).map(|n| random.publish(&format!("{}.{n}", numbers.segments(0))));
    let most = works.max().unwrap();
    assert!((500..2_000).contains(&most), "{most}");

    let worst = Subscribed::to(every_mixture(16));
    let work = worst.publish(&topic(16, 1));
    // The paths with at most four wildcards, as the matcher's documentation says.
    assert!((4_000..=6_900).contains(&work), "{work}");
}
