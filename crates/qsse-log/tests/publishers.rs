//! Publishers that number their publishes: each number is taken once, or its outcome is unknown.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::Duration;

use qsse_log::{Appended, Config, Known, Log, NewEvent, Now, PublisherId};
use qsse_proto::{Epoch, EventId, Timestamp};
use qsse_topic::TopicRef;

const ADA: PublisherId = [1; 16];
const BOB: PublisherId = [2; 16];

fn at(seconds: u64) -> Now {
    Now {
        wall: Timestamp::from_micros(seconds * 1_000_000),
        monotonic: Duration::from_secs(seconds),
    }
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

/// Publishes these numbers in one turn, each with `events` events. Returns the outcomes.
fn turn(
    log: &Log,
    now: Now,
    who: PublisherId,
    numbers: impl IntoIterator<Item = u64>,
    ago: Option<Duration>,
    events: usize,
) -> Vec<Known> {
    let mut appender = log.appender(now);
    let mut sequence = appender.sequence(who);
    let known = numbers.into_iter().map(|number| {
        let known = appender.judge(&sequence, number, ago);
        if known == Known::New {
            let event = NewEvent::new(TopicRef::new("a").unwrap(), b"x");
            let taken = appender.push_all(&vec![event; events]).unwrap();
            sequence.push(number, taken);
        }
        known
    });
    let known = known.collect();
    appender.conclude(&sequence);
    known
}

/// Publishes one event with each number.
fn publish(
    log: &Log,
    now: Now,
    who: PublisherId,
    numbers: impl IntoIterator<Item = u64>,
    ago: Option<Duration>,
) -> Vec<Known> {
    turn(log, now, who, numbers, ago, 1)
}

fn taken(first: u64, last: u64) -> Known {
    let id = |seq| EventId::new(Epoch::new(1), seq);
    Known::Taken(Some(Appended {
        first: id(first),
        last: id(last),
    }))
}

fn log(window: Duration, publishers: usize) -> Log {
    let config = Config::default().remember_publishers(window, publishers);
    Log::new(Epoch::new(1), config)
}

#[test]
fn a_number_is_taken_once_and_tells_its_seq_again() {
    let log = Log::new(Epoch::new(1), Config::default());
    assert_eq!(publish(&log, at(1), ADA, 1..=3, None), [Known::New; 3]);
    assert_eq!(publish(&log, at(1), BOB, 1..=2, None), [Known::New; 2]);
    let known = publish(&log, at(2), ADA, 2..=4, seconds(1));
    assert_eq!(known, [taken(2, 2), taken(3, 3), Known::New]);
    assert_eq!(log.visible().seq(), 6);
    // Whatever an older stream of the same publisher still sends.
    let known = publish(&log, at(2), ADA, [1, 4], None);
    assert_eq!(known, [taken(1, 1), taken(6, 6)]);
    // Numbers may be omitted.
    assert_eq!(publish(&log, at(2), ADA, [9], None), [Known::New]);
    assert_eq!(log.stats().dedup_publishers, 2);
}

#[test]
fn a_publish_to_many_topics_or_none_is_one_number() {
    let log = Log::new(Epoch::new(1), Config::default());
    turn(&log, at(1), ADA, [1], None, 3);
    turn(&log, at(1), ADA, [2], None, 0);
    turn(&log, at(1), ADA, [3], None, 1);
    let known = turn(&log, at(1), ADA, 1..=3, seconds(1), 1);
    assert_eq!(known, [taken(1, 3), Known::Taken(None), taken(4, 4)]);
}

// However many come in between: the speed of publishers does not matter.
#[test]
fn a_known_publisher_is_judged_by_its_number_alone() {
    let log = log(Duration::from_secs(600), 2);
    publish(&log, at(1), [3; 16], [1], None);
    publish(&log, at(2), ADA, 1..=200_000, None);
    publish(&log, at(2), BOB, 1..=200_000, None);
    assert_eq!(log.stats().dedup_publishers, 2, "one was forgotten");
    let known = publish(&log, at(400), ADA, [200_000, 200_001], seconds(399));
    assert_eq!(known, [taken(200_001, 200_001), Known::New]);
}

#[test]
fn of_a_publisher_that_may_be_forgotten_the_outcome_is_unknown() {
    let log = log(Duration::from_secs(600), 2);
    publish(&log, at(10), ADA, 1..=2, None);
    publish(&log, at(11), BOB, [1], None);
    publish(&log, at(12), [3; 16], [1], None);
    let unknown = publish(&log, at(13), ADA, [2], seconds(3));
    assert_eq!(unknown, [Known::Unknown]);
    assert_eq!(log.visible().seq(), 4, "never a second time");
    // It would be known if it had been tried after the last forgotten publisher.
    assert_eq!(publish(&log, at(14), ADA, [2], seconds(3)), [Known::New]);
    assert_eq!(publish(&log, at(14), [4; 16], [1], None), [Known::New]);
}

#[test]
fn the_most_idle_publisher_is_forgotten_first_and_all_after_the_window() {
    let log = log(Duration::from_secs(600), 2);
    publish(&log, at(10), ADA, [1], None);
    publish(&log, at(11), BOB, [1], None);
    publish(&log, at(12), ADA, [2], None);
    publish(&log, at(13), [3; 16], [1], None);
    assert_eq!(publish(&log, at(14), ADA, [2], seconds(4)), [taken(3, 3)]);
    log.sweep(at(612));
    assert_eq!(log.stats().dedup_publishers, 2);
    log.sweep(at(614));
    assert_eq!(log.stats().dedup_publishers, 0);
}

#[test]
fn seqs_of_long_ago_are_not_kept_but_that_it_was_taken_is() {
    let log = Log::new(Epoch::new(1), Config::default());
    for number in 1..=200 {
        publish(&log, at(1), ADA, [number], None);
        publish(&log, at(1), BOB, [number], None);
    }
    let known = publish(&log, at(1), ADA, [1, 200], seconds(0));
    assert_eq!(known, [Known::TakenLongAgo, taken(399, 399)]);
}
