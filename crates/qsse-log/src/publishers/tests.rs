//! Runs of publishes, and the publishers of an earlier process.

use qsse_proto::{Epoch, EventId};

use super::*;
use crate::publisher::PublisherState;

const EPOCH: Epoch = Epoch::new(9);
const ADA: PublisherId = [1; 16];
const BOB: PublisherId = [2; 16];

fn run(number: u64, count: u32, first: u64, events: u32) -> PublisherRun {
    PublisherRun {
        number,
        count,
        first,
        events,
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(monotonic: u64) -> Now {
    Now {
        monotonic: seconds(monotonic),
        ..Now::default()
    }
}

fn appended(first: u64, last: u64) -> Option<Appended> {
    Some(Appended {
        first: EventId::new(EPOCH, first),
        last: EventId::new(EPOCH, last),
    })
}

fn taken(first: u64, last: u64) -> Known {
    Known::Taken(appended(first, last))
}

#[test]
fn a_run_is_of_one_publish_at_first() {
    assert_eq!(PublisherRun::new(7, appended(20, 22)), run(7, 1, 20, 3));
    assert_eq!(PublisherRun::new(7, None), run(7, 1, 0, 0));
}

#[test]
fn runs_join_where_numbers_and_seqs_both_go_on() {
    let first = run(1, 2, 10, 2);
    assert_eq!((first.last(), first.end()), (2, 12));
    for (next, joined) in [
        (run(3, 1, 12, 1), Some(run(1, 3, 10, 3))),
        (run(3, 4, 12, 4), Some(run(1, 6, 10, 6))),
        // A number is missing, or others have published in between.
        (run(4, 1, 12, 1), None),
        (run(3, 1, 13, 1), None),
        (run(4, 1, 13, 1), None),
        // One publish with several events, or with none.
        (run(3, 1, 12, 2), None),
        (run(3, 1, 0, 0), None),
        (run(3, u32::MAX, 12, u32::MAX), None),
    ] {
        let mut runs = vec![first];
        add(&mut runs, next);
        assert_eq!(
            runs,
            joined.map_or(vec![first, next], |joined| vec![joined])
        );
    }
    let mut several = run(1, 1, 10, 3);
    assert!(!several.join(run(2, 1, 13, 1)));
}

#[test]
fn a_run_is_split_behind_a_seq() {
    let whole = run(5, 4, 20, 4);
    for (seq, split) in [
        (10, (None, Some(whole))),
        (19, (None, Some(whole))),
        (20, (Some(run(5, 1, 20, 1)), Some(run(6, 3, 21, 3)))),
        (22, (Some(run(5, 3, 20, 3)), Some(run(8, 1, 23, 1)))),
        (23, (Some(whole), None)),
        (30, (Some(whole), None)),
    ] {
        assert_eq!(whole.split_behind(seq), split, "{seq}");
    }
    let one = run(5, 1, 20, 3);
    assert_eq!(one.split_behind(21), (None, Some(one)));
    assert_eq!(one.split_behind(22), (Some(one), None));
}

#[test]
fn a_run_loses_what_is_above_a_number() {
    let whole = run(5, 4, 20, 4);
    for (last, kept) in [
        (3, None),
        (4, None),
        (5, Some(run(5, 1, 20, 1))),
        (7, Some(run(5, 3, 20, 3))),
        (8, Some(whole)),
        (20, Some(whole)),
    ] {
        assert_eq!(whole.through(last), kept, "{last}");
    }
    let several = run(5, 1, 20, 3);
    assert_eq!(several.through(5), Some(several));
}

#[test]
fn each_publish_of_a_run_has_its_events() {
    let lineage = Lineage::new(EPOCH);
    let several = run(5, 4, 20, 4);
    assert_eq!(several.events_of(5, &lineage), appended(20, 20));
    assert_eq!(several.events_of(8, &lineage), appended(23, 23));
    assert_eq!(run(5, 1, 20, 3).events_of(5, &lineage), appended(20, 22));
    assert_eq!(run(5, 1, 0, 0).events_of(5, &lineage), None);
    assert_eq!(run(5, 1, 9, 0).events_of(5, &lineage), None);
}

/// The state of Ada from an earlier process.
fn opened(certain: bool) -> Recovered {
    let mut opened = Recovered::new(EPOCH);
    opened.publishers_age = seconds(100);
    opened.publishers = vec![PublisherState {
        id: ADA,
        last: 7,
        certain,
        runs: vec![run(3, 2, 10, 2), run(5, 3, 20, 3)],
    }];
    opened
}

/// Looks up a number of a publisher 50 s after the clock began.
fn judge(publishers: &Publishers, who: PublisherId, number: u64, ago: Option<u64>) -> Known {
    let sequence = publishers.sequence(who);
    let (now, lineage) = (seconds(50), Lineage::new(EPOCH));
    publishers.judge(&sequence, number, ago.map(seconds), now, &lineage)
}

#[test]
fn publishers_of_an_earlier_process_go_on_with_their_numbers() {
    let mut publishers = Publishers::default();
    publishers.recover(&opened(true), at(50), false);
    assert_eq!(publishers.len(), 1);
    assert_eq!(publishers.sequence(ADA).before, Some(7));
    let ada = |number| judge(&publishers, ADA, number, Some(40));
    assert_eq!((ada(4), ada(6)), (taken(11, 11), taken(21, 21)));
    assert_eq!((ada(2), ada(8)), (Known::TakenLongAgo, Known::New));
    // An unknown publisher would be known if it had been active since then.
    let bob = |ago| judge(&publishers, BOB, 1, ago);
    assert_eq!((bob(None), bob(Some(99))), (Known::New, Known::New));
    assert_eq!(
        (bob(Some(100)), bob(Some(101))),
        (Known::Unknown, Known::Unknown)
    );
}

#[test]
fn what_is_above_the_last_number_is_unknown_where_something_may_be_lost() {
    for (certain, lost, old, recent) in [
        (true, false, Known::New, Known::New),
        (false, false, Known::Unknown, Known::New),
        (true, true, Known::Unknown, Known::Unknown),
        (false, true, Known::Unknown, Known::Unknown),
    ] {
        let mut publishers = Publishers::default();
        publishers.recover(&opened(certain), at(50), lost);
        let eight = |ago| judge(&publishers, ADA, 8, Some(ago));
        assert_eq!((eight(100), eight(1)), (old, recent), "{certain} {lost}");
        assert_eq!(judge(&publishers, ADA, 8, None), Known::New);
    }
}

#[test]
fn publishers_of_an_earlier_process_are_forgotten_after_the_window() {
    let config = Config::default().remember_publishers(seconds(60), 10);
    let mut publishers = Publishers::default();
    publishers.recover(&opened(true), at(50), false);
    publishers.trim(seconds(110), &config);
    assert_eq!(publishers.len(), 1);
    publishers.trim(seconds(111), &config);
    assert_eq!(publishers.len(), 0);
}

#[test]
fn numbers_that_are_given_back_may_come_again() {
    let mut publishers = Publishers::default();
    let config = Config::default();
    let mut sequence = publishers.sequence(ADA);
    for number in 1..=3 {
        sequence.push(number, appended(number, number));
    }
    publishers.conclude(&sequence, seconds(50), &config);
    let ada = |publishers: &Publishers| [1, 2, 3].map(|n| judge(publishers, ADA, n, None));
    assert_eq!(ada(&publishers), [taken(1, 1), taken(2, 2), taken(3, 3)]);
    publishers.undo(ADA, Some(1));
    assert_eq!(ada(&publishers), [taken(1, 1), Known::New, Known::New]);
    publishers.undo(ADA, None);
    assert_eq!((ada(&publishers), publishers.len()), ([Known::New; 3], 0));
    publishers.undo(BOB, Some(1));
    assert_eq!(publishers.len(), 0);
}
