//! The Go library's protocol, from the client's side.

use crate::harness::{Home, Server};

#[test]
fn what_the_go_protocol_lacks_is_wrong_usage_before_anything_is_done() {
    let home = Home::new();
    // Nobody is there: a connection would be status 3.
    let go = ["--dialect", "go", "-s", "127.0.0.1:1"];
    let run = |args: &[&str]| home.run(&[args, &go].concat());
    for (args, part) in [
        (&["--earliest"][..], "no past events"),
        (&["--after", "1-1"], "--after"),
        (&["--since", "1h"], "--since"),
        (&["--last", "1"], "--last"),
        (&["--on-lag", "skip"], "--on-lag"),
        (&["--cursor", "at"], "--cursor"),
    ] {
        run(&[&["sub", "a"], args].concat()).expect(2, &["--dialect go", part]);
    }
    assert!(!home.path().join("at").exists());
    run(&["pub", "a", "x"]).expect(2, &["--dialect go", "no publishing"]);
    home.run(&["sub", "--dialect", "gopher", "a"])
        .expect(2, &["--dialect", "auto, qsse, go"]);
    let mut command = home.command(&["pub", "a", "x"]);
    let output = command.env("QSSE_DIALECT", "go").output().unwrap();
    crate::harness::Done::from(output).expect(2, &["no publishing"]);
}

#[test]
fn a_subscriber_may_speak_the_go_protocol() {
    let home = Home::new();
    let server = home.serve(&[]);
    let at = ["-s", &server.address];
    let mut sub = home.subscribe(&server, &["--dialect", "go", "--json", "-n2", "ride.*"]);
    // Nothing confirms such a subscription: events are sent until one has come.
    let publish = |data: &str| home.run(&[&["pub", "ride.7", data][..], &at].concat());
    for _ in 0..1000 {
        publish("early").expect(0, &[]);
        if sub.has_line("\"early\"") {
            break;
        }
    }
    publish("late").expect(0, &[]);
    let done = sub.done();
    let lines: Vec<_> = done
        .expect(0, &["as far as the Go library's protocol tells"])
        .out
        .lines()
        .collect();
    assert!(
        lines[0]
            .starts_with("{\"id\":\"0-1\",\"topic\":\"ride.7\",\"kind\":\"message\",\"time\":\"20"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("{\"id\":\"0-2\""), "{lines:?}");
    home.run(&[&["ping", "--dialect", "go"][..], &at].concat())
        .expect(0, &[]);
    let own = home.run(&[&["ping", "-n1"][..], &at].concat());
    assert!(
        own.expect(0, &[]).out.contains("answer 1"),
        "the own protocol is preferred"
    );
}

#[test]
fn refusals_in_the_go_protocol_have_their_statuses() {
    let home = Home::new();
    home.file(
        "tokens.toml",
        "[[token]]\ntoken = \"sesame\"\nsubscribe = [\"ride.*\", \"weather\"]\n",
    );
    let server = home.serve(&["--tokens", "tokens.toml", "--topics", "ride.*,people"]);
    let sub = |args: &[&str]| {
        home.run(&[&["sub", "--dialect", "go", "-s", &server.address], args].concat())
    };
    sub(&["--token", "guess", "ride.*"]).expect(5, &["refused the token"]);
    sub(&["--token", "sesame", "people"]).expect(6, &["not authorised"]);
    sub(&["--token", "sesame", "weather"]).expect(6, &["topic not available"]);
    let args = [
        "--dialect",
        "go",
        "--token",
        "sesame",
        "--json",
        "ride.7",
        "weather",
    ];
    let mut part = home.subscribe(&server, &args);
    let line = part.line("{\"error\"");
    assert!(
        line.starts_with("{\"error\":{\"code\":2,\"message\":\"the server refused weather"),
        "{line}"
    );
    part.signal("TERM");
    part.done().expect(0, &[]);
}

#[test]
fn a_server_without_the_go_protocol_is_told_with_what_to_do() {
    let home = Home::new();
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0"]);
    let server = Server::start(command.env("QSSE_GO_DIALECT", "false"));
    let at = ["-s", &server.address];
    home.run(&[&["sub", "--dialect", "go", "a"][..], &at].concat())
        .expect(3, &["PROTOCOL_QUIC", "--dialect auto"]);
    home.run(&[&["ping", "-n1"][..], &at].concat())
        .expect(0, &[]);
}
