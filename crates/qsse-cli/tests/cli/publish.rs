//! What `pub` takes, prints and admits.

use crate::harness::{Home, Running, Server, patient};
use crate::relay::Relay;

const LIMIT: usize = 1024 * 1024;

#[test]
fn an_event_of_the_limit_passes_and_one_byte_more_is_refused() {
    let home = Home::new();
    let server = home.serve(&[]);
    let sub = home.subscribe(&server, &["--raw", "-n1", "*"]);
    let args = ["pub", "-s", &server.address, "--file", "-", "a"];
    let data = vec![b'x'; LIMIT + 1];
    home.run_with(&args, &data)
        .expect(7, &["1048577", "1048576"]);
    home.run_with(&args, &data[1..]).expect(0, &[]);
    assert_eq!(sub.done().out.len(), LIMIT + 1);
}

#[test]
fn a_line_over_the_limit_is_refused_by_number_and_the_rest_goes_on() {
    let home = Home::new();
    let server = home.serve(&[]);
    let sub = home.subscribe(&server, &["--raw", "-n3", "*"]);
    let input = [
        "one".into(),
        "x".repeat(LIMIT + 1),
        String::new(),
        "four".into(),
    ]
    .join("\n");
    let done = home.run_with(
        &["pub", "-s", &server.address, "--json", "a"],
        input.as_bytes(),
    );
    done.expect(7, &["line 2 is not published", "1048576"]);
    assert!(
        done.out.starts_with("{\"count\":3,\"first\":\""),
        "{}",
        done.out
    );
    assert!(
        done.out.ends_with("\"unacknowledged\":1}\n"),
        "{}",
        done.out
    );
    assert_eq!(sub.done().out, "one\n\nfour\n");
}

#[test]
fn what_one_prints_another_publishes() {
    let home = Home::new();
    let (here, there) = (home.serve(&[]), home.serve(&[]));
    let source = home.subscribe(&here, &["--json", "-n3", "*"]);
    let at = ["-s", &here.address];
    home.run(&[&["pub", "ride.7", "text\n", "--kind", "made"], &at[..]].concat());
    home.run_with(
        &[&["pub", "ride.8", "--file", "-"], &at[..]].concat(),
        b"\xff\x00",
    );
    home.run(&[&["pub", "people", ""], &at[..]].concat());
    let printed = source.done().out;

    let sink = home.subscribe(&there, &["--json", "-n3", "*"]);
    let gap = "{\"gap\":{\"from\":\"1-1\",\"to\":\"1-2\",\"at_most\":2}}\nnonsense\n";
    let input = format!("{gap}{printed}");
    let done = home.run_with(
        &["pub", "-s", &there.address, "--from-json", "elsewhere"],
        input.as_bytes(),
    );
    done.expect(7, &["line 2 is not published", "not JSON"]);
    // All but id and time is the same.
    let essence = |text: &str| -> Vec<String> {
        let essence = |line: &str| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            format!(
                "{} {} {} {}",
                event["topic"], event["kind"], event["data"], event["encoding"]
            )
        };
        text.lines().map(essence).collect()
    };
    assert_eq!(essence(&sink.done().out), essence(&printed));
}

#[test]
fn a_pattern_reaches_every_topic_that_is_known() {
    let home = Home::new();
    let server = home.serve(&["--topics", "people,ride.7,ride.8"]);
    let run = |args: &[&str]| home.run(&[args, &["-s", &server.address]].concat());
    let done = run(&["pub", "--matching", "--json", "ride.*", "storm"]);
    assert!(
        done.expect(0, &[])
            .out
            .starts_with("{\"count\":2,\"first\":\""),
        "{}",
        done.out
    );
    let done = run(&["pub", "--matching", "--json", "people.*", "storm"]);
    let nothing = "{\"count\":0,\"first\":null,\"last\":null,\"unacknowledged\":0}\n";
    assert_eq!(done.expect(0, &[]).out, nothing);
    let args = [
        "pub",
        "--matching",
        "--json",
        "ride.*",
        "-s",
        &server.address,
    ];
    let done = home.run_with(&args, b"one\ntwo\n");
    assert!(
        done.expect(0, &[]).out.starts_with("{\"count\":4,"),
        "{}",
        done.out
    );
}

#[test]
fn what_is_not_acknowledged_is_admitted() {
    let home = Home::new();
    let serve =
        |address: &str| Server::start(&mut patient(home.command(&["serve", "--listen", address])));
    let server = serve("127.0.0.1:0");
    let address = server.address.clone();
    let relay = Relay::start(&address);
    let mut sub = home.subscribe(&server, &["--raw", "*"]);
    let at = ["-s", &relay.address];
    let args = [&["pub", "--no-reconnect", "--json", "a"], &at[..]].concat();
    let mut command = patient(home.command(&args));
    let mut publisher = Running::start(command.stdin(std::process::Stdio::piped()));
    publisher.input(b"one\n");
    sub.line("one");
    relay.silence_server(true);
    publisher.input(b"two\n");
    // It was sent, and its acknowledgement cannot arrive.
    sub.line("two");
    server.running.signal("KILL");
    server.running.done();
    // The next server does not know the connection, and says so.
    let _again = serve(&address);
    relay.silence_server(false);
    let done = publisher.done();
    done.expect(7, &["connection"]);
    // Whether the acknowledgement of the first came through before is open.
    let told: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    let counts = [&told["count"], &told["unacknowledged"]].map(|count| count.as_u64().unwrap());
    assert!([[1, 1], [0, 2]].contains(&counts), "{done:?}");
}

#[test]
fn with_a_key_it_is_one_event_however_often_it_runs() {
    let home = Home::new();
    let server = home.serve(&[]);
    let sub = home.subscribe(&server, &["--raw", "-n3", "*"]);
    let run = |args: &[&str]| {
        let done = home.run(&[&["pub", "-s", &server.address], args].concat());
        done.expect(0, &[]).out.clone()
    };
    let first = run(&["orders", "first", "--key", "order 1"]);
    assert_eq!(run(&["orders", "again", "--key", "order 1"]), first);
    let matching = ["--matching", "*", "to all", "--key", "order 2"];
    assert_eq!(run(&matching), run(&matching));
    assert_ne!(run(&["orders", "third", "--key", "order 3"]), first);
    assert_eq!(sub.done().out, "first\nto all\nthird\n");
}

#[test]
fn lines_in_flight_are_published_once_over_a_lost_connection() {
    let home = Home::new();
    let store = home.path().join("store");
    let serve = |address: &str| {
        let args = ["serve", "--store", store.to_str().unwrap(), "--listen"];
        let args = [&args[..], &[address]].concat();
        Server::start(&mut patient(home.command(&args)))
    };
    let server = serve("127.0.0.1:0");
    let address = server.address.clone();
    let relay = Relay::start(&address);
    let mut sub = home.subscribe(&server, &["--raw", "*"]);
    let mut command = patient(home.command(&["pub", "-s", &relay.address, "--json", "a"]));
    let mut publisher = Running::start(command.stdin(std::process::Stdio::piped()));
    publisher.input(b"one\n");
    sub.line("one");
    relay.silence_server(true);
    publisher.input(b"two\n");
    // It was taken, and its acknowledgement cannot arrive.
    sub.line("two");
    server.running.signal("KILL");
    server.running.done();
    // The next server does not know the connection, and says so.
    let again = serve(&address);
    relay.silence_server(false);
    publisher.error_line("connected again");
    publisher.input(b"three\n");
    publisher.close_input();
    let done = publisher.done();
    done.expect(0, &[]);
    assert!(done.out.starts_with("{\"count\":3,"), "{done:?}");
    assert!(done.out.ends_with("\"unacknowledged\":0}\n"), "{done:?}");
    let at = [
        "sub",
        "-s",
        &again.address,
        "--earliest",
        "--raw",
        "-n3",
        "*",
    ];
    assert_eq!(home.run(&at).out, "one\ntwo\nthree\n", "and nothing twice");
}

#[test]
fn a_signal_ends_it_cleanly_when_all_is_acknowledged() {
    let home = Home::new();
    let server = home.serve(&[]);
    let mut sub = home.subscribe(&server, &["--raw", "*"]);
    let mut publisher = home.start(&["pub", "-s", &server.address, "a"]);
    publisher.input(b"one\ntwo\n");
    sub.line("two");
    publisher.signal("INT");
    let done = publisher.done();
    assert!(
        done.expect(0, &[])
            .out
            .starts_with("2 events, the last is "),
        "{done:?}"
    );
}
