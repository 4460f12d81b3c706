//! Publishes with a key: taken once, or of unknown outcome, but never taken twice.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::Duration;

use qsse_log::{Appended, Config, Known, Log, NewEvent, Now, PublishKey};
use qsse_proto::{Epoch, Timestamp};
use qsse_topic::TopicRef;

fn key(text: &'static str) -> PublishKey {
    PublishKey::new([1; 16], text.as_bytes())
}

fn at(seconds: u64) -> Now {
    Now {
        wall: Timestamp::from_micros(seconds * 1_000_000),
        monotonic: Duration::from_secs(seconds),
    }
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

/// Publishes under a key if the key is new.
fn publish(log: &Log, now: Now, key: PublishKey, ago: Option<Duration>) -> Known {
    let mut appender = log.appender(now);
    let known = appender.look_up(&key, ago);
    if known == Known::New {
        let topic = TopicRef::new("a").unwrap();
        let id = appender.push(NewEvent::new(topic, b"x")).unwrap();
        let (first, last) = (id, id);
        appender.remember(key, Some(Appended { first, last }));
    }
    known
}

#[test]
fn a_second_publish_of_a_key_gets_the_first_ones_event() {
    let log = Log::new(Epoch::new(1), Config::default());
    assert_eq!(publish(&log, at(1), key("one"), None), Known::New);
    assert_eq!(publish(&log, at(2), key("two"), None), Known::New);
    let Known::Taken(Some(taken)) = publish(&log, at(3), key("one"), seconds(2)) else {
        panic!("it was taken")
    };
    assert_eq!((taken.first.seq(), taken.last.seq()), (1, 1));
    assert_eq!(log.visible().seq(), 2);
    let other_scope = PublishKey::new([2; 16], &b"one"[..]);
    assert_eq!(publish(&log, at(3), other_scope, None), Known::New);
}

#[test]
fn a_publish_that_reached_no_topic_is_remembered_too() {
    let log = Log::new(Epoch::new(1), Config::default());
    log.appender(at(1)).remember(key("none"), None);
    assert_eq!(
        log.appender(at(1)).look_up(&key("none"), None),
        Known::Taken(None)
    );
}

#[test]
fn what_is_out_of_the_window_is_unknown_to_a_retry() {
    let config = Config::default().dedup(Duration::from_secs(120), 100);
    let log = Log::new(Epoch::new(1), config);
    publish(&log, at(10), key("one"), None);
    log.sweep(at(131));
    assert_eq!(log.stats().dedup_keys, 0);
    assert_eq!(
        publish(&log, at(131), key("one"), seconds(121)),
        Known::Unknown
    );
    assert_eq!(log.visible().seq(), 1, "never a second time");
    // If it had been taken, it would be known, because its first attempt was after all forgotten
    // ones.
    assert_eq!(publish(&log, at(131), key("new"), seconds(60)), Known::New);
    // Its first attempt was at the time of the newest forgotten one, so it is not among those.
    assert_eq!(
        publish(&log, at(131), key("late"), seconds(121)),
        Known::Unknown
    );
    // A first attempt is not a retry, whatever was forgotten.
    assert_eq!(publish(&log, at(131), key("one"), None), Known::New);
}

#[test]
fn more_keys_than_are_kept_make_the_window_shorter() {
    let log = Log::new(
        Epoch::new(1),
        Config::default().dedup(Duration::from_secs(120), 2),
    );
    for (second, text) in ["a", "b", "c"].into_iter().enumerate() {
        publish(&log, at(second as u64 + 100), key(text), None);
    }
    assert_eq!(log.stats().dedup_keys, 2);
    assert_eq!(
        publish(&log, at(110), key("a"), seconds(10)),
        Known::Unknown
    );
    assert!(matches!(
        publish(&log, at(110), key("b"), seconds(9)),
        Known::Taken(Some(_))
    ));
}

#[test]
fn nothing_is_unknown_before_anything_was_forgotten() {
    let log = Log::new(Epoch::new(1), Config::default());
    assert_eq!(publish(&log, at(1), key("a"), seconds(3_600)), Known::New);
}
