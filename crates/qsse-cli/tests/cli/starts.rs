//! Where `sub` begins, and that it says so.

use crate::harness::{Home, Server};

/// Publishes, and returns the id.
fn publish(home: &Home, server: &Server, topic: &str, data: &str) -> String {
    let done = home.run(&["pub", "-s", &server.address, topic, data]);
    done.expect(0, &[]).out.trim_end().to_owned()
}

#[test]
fn each_start_begins_where_it_says() {
    let home = Home::new();
    let server = home.serve(&[]);
    let first = publish(&home, &server, "a", "a1");
    for (topic, data) in [("b", "b1"), ("a", "a2"), ("b", "b2"), ("a", "a3")] {
        publish(&home, &server, topic, data);
    }
    let log = first.split('-').next().unwrap();
    let sub = |args: &[&str]| {
        home.run(&[&["sub", "--raw", "-s", &server.address], args, &["*"]].concat())
    };

    let done = sub(&["--earliest", "-n5"]);
    done.expect(0, &[&format!(", beginning after {log}-0\n")]);
    assert_eq!(done.out, "a1\nb1\na2\nb2\na3\n");

    let done = sub(&["--after", &first, "-n4"]);
    done.expect(0, &[&format!("resumed after {first}\n")]);
    assert_eq!(done.out, "b1\na2\nb2\na3\n");

    let done = sub(&["--last", "1", "-n2"]);
    assert_eq!(done.expect(0, &[", beginning after"]).out, "b2\na3\n");
    let done = sub(&["--last", "2", "-n4"]);
    assert_eq!(done.expect(0, &[]).out, "b1\na2\nb2\na3\n");

    let done = sub(&["--since", "1h", "-n5"]);
    assert_eq!(done.expect(0, &[]).out, "a1\nb1\na2\nb2\na3\n");
    let line = home
        .run(&[
            "sub",
            "-s",
            &server.address,
            "--json",
            "-n1",
            "--after",
            &first,
            "a",
        ])
        .out;
    let time = line.split("\"time\":\"").nth(1).unwrap();
    let time = time.split('"').next().unwrap();
    let done = sub(&["--since", time, "-n3"]);
    assert_eq!(
        done.expect(0, &[]).out,
        "a2\nb2\na3\n",
        "that event is in it"
    );
}

#[test]
fn the_past_goes_over_into_what_is_published_now() {
    let home = Home::new();
    let server = home.serve(&[]);
    publish(&home, &server, "a", "old");
    publish(&home, &server, "a", "latest");
    for (flags, past) in [(&["--last", "1"][..], "latest\n"), (&["--since", "0s"], "")] {
        let sub = home.subscribe(&server, &[&["--raw", "-n2"], flags, &["a"]].concat());
        publish(&home, &server, "a", "new");
        publish(&home, &server, "a", "newer");
        let expected = format!("{past}new\nnewer\n");
        assert!(
            expected.starts_with(&sub.done().expect(0, &[]).out),
            "{flags:?}"
        );
        publish(&home, &server, "a", "latest");
    }
    let sub = home.subscribe(&server, &["--raw", "-n1", "a"]);
    publish(&home, &server, "a", "live");
    assert_eq!(sub.done().expect(0, &[", live\n"]).out, "live\n");
}

#[test]
fn a_start_that_cannot_be_met_says_so_at_once() {
    let home = Home::new();
    let server = Server::start(
        home.command(&["serve", "--listen", "127.0.0.1:0"])
            .env("QSSE_LIMITS_HISTORY_EVENTS", "2"),
    );
    let first = publish(&home, &server, "a", "1");
    for data in ["2", "3", "4"] {
        publish(&home, &server, "a", data);
    }
    let at = ["-s", &server.address, "a"];
    home.run(&[&["sub", "-n1", "--after", &first][..], &at].concat())
        .expect(0, &[&format!("resumed after {first} with a gap\n")]);
    home.run(&[&["sub", "-n1", "--after", "4C92-1"][..], &at].concat())
        .expect(0, &[", reset: 4C92-1 is not of the server's log\n"]);
    let done = home.run(&[&["sub", "-n1", "--json", "--since", "1h"][..], &at].concat());
    let gap = done.expect(0, &["with a gap"]).out.lines().next().unwrap();
    assert!(
        gap.contains("\"at_most\":2,\"reason\":\"retention\"}}"),
        "{gap}"
    );
}

#[test]
fn only_one_start_can_be_asked_for() {
    let home = Home::new();
    let starts = [
        &["--earliest"][..],
        &["--after", "4C92-1"],
        &["--since", "1h"],
        &["--last", "2"],
    ];
    for (one, first) in starts.iter().enumerate() {
        for other in &starts[one + 1..] {
            let done = home.run(&[&["sub"], *first, other, &["a"]].concat());
            done.expect(2, &[first[0], other[0], "cannot be used with"]);
        }
    }
    for (args, part) in [
        (&["--last", "0"][..], "1..="),
        (&["--last", "-1"], "-1"),
        (&["--since", "yesterday"], "neither a duration"),
        (&["--after", "7"], "7"),
        (&["--on-lag", "wait"], "catch-up"),
    ] {
        home.run(&[&["sub"], args, &["a"]].concat())
            .expect(2, &[part]);
    }
}
