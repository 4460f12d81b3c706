//! What `bench` counts, prints and refuses. How fast it was is nobody's business here.

use serde_json::Value;

use crate::harness::{Done, Home};

/// A short load, for a machine that does much else.
const SHORT: [&str; 6] = ["--rate", "200", "--duration", "1s", "--warmup", "100ms"];

fn report(done: &Done) -> Value {
    serde_json::from_str(&done.out).expect("it is a JSON object")
}

#[test]
fn every_event_is_counted_once_for_each_subscriber() {
    let home = Home::new();
    let server = home.serve(&[]);
    let at = ["bench", "-s", &server.address, "--json", "--fail-on-gap"];
    let many = [
        "--subscribers",
        "4",
        "--publishers",
        "2",
        "--per-connection",
        "2",
    ];
    let topics = [
        "--topic",
        "load.a",
        "--topic",
        "load.b",
        "--pattern",
        "load.*",
        "--pattern",
        "load.a",
    ];
    let done = home.run(&[&at[..], &SHORT, &many, &topics].concat());
    done.expect(0, &["4 subscribers and 2 publishers on 4 connections"]);
    let report = report(&done);
    let published = report["published"]["events"].as_u64().unwrap();
    assert!((1..=200).contains(&published), "{report}");
    // Half of the subscribers get all, the others what goes to one of two topics.
    let delivered = report["delivered"]["events"].as_u64().unwrap();
    assert!(delivered.abs_diff(published * 3) <= 4, "{report}");
    for key in ["lost", "duplicated", "misordered", "gaps", "foreign"] {
        assert_eq!(report["delivered"][key], 0, "{key}: {report}");
    }
    assert_eq!(report["published"]["unacknowledged"], 0, "{report}");
    assert_eq!(report["delivered"]["other_clock"], false, "{report}");
    for part in ["published", "delivered"] {
        for key in ["p50", "p90", "p99", "p99_9", "max", "mean"] {
            assert!(
                report[part]["latency_us"][key].is_f64(),
                "{part} {key}: {report}"
            );
        }
    }
}

#[test]
fn as_fast_as_it_goes_loses_nothing_either() {
    let home = Home::new();
    let server = home.serve(&[]);
    let args = [
        "bench",
        "-s",
        &server.address,
        "--rate",
        "0",
        "--duration",
        "500ms",
        "--warmup",
        "0s",
        "--size",
        "1KiB",
        "--subscribers",
        "2",
        "--json",
    ];
    let report = report(home.run(&args).expect(0, &[]));
    let published = report["published"]["events"].as_u64().unwrap();
    assert!(published > 0, "{report}");
    assert_eq!(report["delivered"]["events"], published * 2, "{report}");
    assert_eq!(report["delivered"]["lost"], 0, "{report}");
}

#[test]
fn publishers_and_subscribers_may_be_programs_of_their_own() {
    let home = Home::new();
    let server = home.serve(&[]);
    let at = ["bench", "-s", &server.address, "--json"];
    let elsewhere = [
        "--subscribe-only",
        "--subscribers",
        "2",
        "--duration",
        "10m",
        "--warmup",
        "0s",
    ];
    let mut subscriber = home.start(&[&at[..], &elsewhere].concat());
    subscriber.error_line("2 subscribers and 0 publishers");
    let done = home.run(&[&at[..], &SHORT, &["--publish-only"]].concat());
    let published = report(done.expect(0, &[]));
    assert_eq!(published["delivered"], Value::Null);
    let counted = published["published"]["events"].as_u64().unwrap();
    assert_eq!(published["published"]["not_sent"], 0, "{published}");

    // 220 in all, with those of the warm-up.
    subscriber.error_line("0 published, 440 delivered");
    subscriber.signal("INT");
    let done = subscriber.done();
    let received = report(done.expect(0, &[]));
    assert_eq!(received["interrupted"], true);
    assert_eq!(received["published"], Value::Null);
    let received = &received["delivered"];
    assert_eq!(received["other_clock"], true);
    assert_eq!(received["lost"], 0, "{received}");
    assert_eq!(received["events"], 440, "{received}");
    assert!((150..=200).contains(&counted), "{published}");
}

#[test]
fn what_is_no_load_is_refused() {
    let home = Home::new();
    home.run(&["bench", "--size", "31"])
        .expect(2, &["--size 31", "32 bytes"]);
    home.run(&["bench", "--pattern", "other.*"])
        .expect(2, &["other.*", "none of the topics", "bench"]);
    home.run(&["bench", "--publish-only", "--subscribers", "3"])
        .expect(2, &["--publish-only"]);
    home.run(&["bench", "--dialect", "go"])
        .expect(2, &["--subscribe-only"]);

    let server = home.serve(&["--topics", "people"]);
    let at = ["bench", "-s", &server.address, "--duration", "30s"];
    home.run(&[&at[..], &["--publish-only"]].concat())
        .expect(6, &["cannot publish to bench", "--topic"]);
    home.run(&[&at[..], &["--subscribe-only"]].concat())
        .expect(6, &["cannot subscribe", "--topic"]);
}
