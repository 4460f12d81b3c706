//! What `sub` prints, and how it ends.

use crate::harness::Home;

#[test]
fn json_lines_have_their_shape() {
    let home = Home::new();
    let server = home.serve(&[]);
    let sub = home.subscribe(&server, &["--json", "-n3", "*"]);
    let at = ["-s", &server.address];
    let id = home
        .run(&[&["pub", "ride.7", "a\"\u{1b}\n"], &at[..]].concat())
        .out;
    home.run_with(
        &[&["pub", "--kind", "made", "--file", "-", "ride.8"], &at[..]].concat(),
        b"\xff\x00",
    );
    home.run(&[&["pub", "ride.9", ""], &at[..]].concat());
    let done = sub.done();
    let lines: Vec<&str> = done.expect(0, &[]).out.lines().collect();
    let start = format!(
        "{{\"id\":\"{}\",\"topic\":\"ride.7\",\"kind\":\"message\",\"time\":\"20",
        id.trim_end()
    );
    assert!(lines[0].starts_with(&start), "{}", lines[0]);
    assert!(
        lines[0].ends_with("Z\",\"data\":\"a\\\"\\u001b\\n\"}"),
        "{}",
        lines[0]
    );
    assert!(lines[1].contains("\"kind\":\"made\""), "{}", lines[1]);
    assert!(
        lines[1].ends_with("\"data\":\"/wA=\",\"encoding\":\"base64\"}"),
        "{}",
        lines[1]
    );
    assert!(lines[2].ends_with("\"data\":\"\"}"), "{}", lines[2]);
}

#[test]
fn text_never_carries_control_characters() {
    let home = Home::new();
    let server = home.serve(&[]);
    let sub = home.subscribe(&server, &["-n1", "*"]);
    let data = b"\x1b]0;title\x07\r\nforged line\x00\xe2\x80\xae\xc2\x9b\xff";
    home.run_with(&["pub", "-s", &server.address, "--file", "-", "a"], data)
        .expect(0, &[]);
    let done = sub.done();
    let line = done.expect(0, &[]).out.trim_end_matches('\n');
    assert!(
        line.chars().all(|c| !c.is_control() && c != '\u{202e}'),
        "{line:?}"
    );
    assert!(
        line.ends_with(r"a  \u{1b}]0;title\u{7}\r\nforged line\u{0}\u{202e}\u{9b}\xff"),
        "{line:?}"
    );
}

#[test]
fn raw_is_the_data_with_a_newline_or_a_nul() {
    let home = Home::new();
    let server = home.serve(&[]);
    let newline = home.subscribe(&server, &["--raw", "-n2", "*"]);
    let nul = home.subscribe(&server, &["--raw", "-0", "-n2", "*"]);
    home.run_with(&["pub", "-s", &server.address, "a"], b"one\r\ntwo")
        .expect(0, &[]);
    assert_eq!(newline.done().out, "one\ntwo\n");
    assert_eq!(nul.done().out, "one\0two\0");
}

#[test]
fn every_subscriber_gets_ten_thousand_lines_in_order_once() {
    let home = Home::new();
    let server = home.serve(&[]);
    let patterns = [
        &["ride.*"][..],
        &["*"],
        &["ride.7"],
        &["ride.7", "ride.*", "*"],
    ];
    let subs: Vec<_> = patterns
        .iter()
        .map(|patterns| {
            home.subscribe(
                &server,
                &[&["--raw", "--count", "10000"], *patterns].concat(),
            )
        })
        .collect();
    let lines: String = (0..10_000).map(|i| format!("line {i}\n")).collect();
    let done = home.run_with(&["pub", "-s", &server.address, "ride.7"], lines.as_bytes());
    assert!(
        done.expect(0, &[])
            .out
            .starts_with("10,000 events, the last is "),
        "{}",
        done.out
    );
    for sub in subs {
        let done = sub.done();
        assert!(done.expect(0, &[]).out == lines, "other lines");
    }
}

#[test]
fn a_start_in_the_past_works_and_tells_of_gaps() {
    let home = Home::new();
    let server = crate::harness::Server::start(
        home.command(&["serve", "--listen", "127.0.0.1:0"])
            .env("QSSE_LIMITS_HISTORY", "64KiB"),
    );
    let at = ["-s", &server.address];
    let run = |args: &[&str]| home.run(&[args, &at].concat());
    let first = run(&["pub", "old", "x"]).out.trim_end().to_owned();
    let lines = "0123456789".repeat(10) + "\n";
    let pub_args = [&["pub", "new", "--json"], &at[..]].concat();
    home.run_with(&pub_args, lines.repeat(5_000).as_bytes())
        .expect(0, &[]);
    let last = run(&["pub", "last", "y"]).out.trim_end().to_owned();

    let done = run(&["sub", "--json", "--after", &first, "-n1", "*"]);
    let gap = done.expect(0, &[]).out.lines().next().unwrap();
    let epoch = first.split('-').next().unwrap();
    assert!(
        gap.starts_with(&format!(
            "{{\"gap\":{{\"from\":\"{epoch}-2\",\"to\":\"{epoch}-"
        )),
        "{gap}"
    );
    assert!(gap.contains("\"at_most\":"), "{gap}");
    run(&["sub", "--after", &first, "--fail-on-gap", "-n9", "*"])
        .expect(9, &["events were missed", "only 0 of 9 events came before"]);

    let done = run(&["sub", "--raw", "--earliest", "-n1", "last"]);
    assert_eq!(done.expect(0, &[]).out, "y\n");
    // An id of a log that this server never had.
    let done = run(&["sub", "--json", "--after", "1-5", "-n1", "last"]);
    let reset = done.expect(0, &[]).out.lines().next().unwrap();
    assert!(reset.starts_with("{\"reset\":{\"after\":"), "{reset}");
    assert!(done.out.contains(&last), "{}", done.out);
}

#[test]
fn signals_and_time_end_it_as_documented() {
    let home = Home::new();
    let server = home.serve(&[]);
    for signal in ["INT", "TERM"] {
        let sub = home.subscribe(&server, &["a"]);
        sub.signal(signal);
        assert_eq!(sub.done().expect(0, &[]).out, "");
        let mut sub = home.subscribe(&server, &["--raw", "-n2", "a"]);
        home.run(&["pub", "-s", &server.address, "a", "x"])
            .expect(0, &[]);
        sub.line("x");
        sub.signal(signal);
        sub.done().expect(130, &["interrupted after 1 event of 2"]);
    }
    // A slow machine may need longer until it is subscribed.
    let time_is_up = ["200ms", "2s", "20s"].iter().any(|timeout| {
        let args = ["sub", "-s", &server.address, "-n1", "a"];
        let done = home.run(&[&args[..], &["--timeout", timeout]].concat());
        done.expect(3, &["time is up"]);
        done.err.contains("time is up after 0 events of 1")
    });
    assert!(time_is_up);
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let home = Home::new();
    let server = home.serve(&[]);
    let command = format!(
        "{} sub -s {} --raw '*' 2>err | head -n 1; echo ${{PIPESTATUS[0]}}; cat err",
        env!("CARGO_BIN_EXE_qsse"),
        server.address
    );
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &command]).current_dir(home.path());
    shell.env("QSSE_STATE_DIR", home.path().join("state"));
    shell
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let shell = crate::harness::Running::start(&mut shell);
    // Once the subscriber is there, each event may be the one that finds the pipe closed.
    let mut publisher = home.start(&["pub", "-s", &server.address, "a"]);
    let ended = std::sync::atomic::AtomicBool::new(false);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                publisher.input(b"x\n");
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        let done = shell.done();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        done
    });
    let lines: Vec<_> = done.out.lines().collect();
    assert_eq!(lines[..2], ["x", "0"], "{done:?}");
    assert_eq!(
        lines.len(),
        3,
        "only `subscribed` on standard error: {done:?}"
    );
}

#[test]
fn text_shows_ids_if_asked_to() {
    let home = Home::new();
    let server = home.serve(&[]);
    let at = ["-s", &server.address];
    let id = home.run(&[&["pub", "a", "x"], &at[..]].concat()).out;
    let sub = ["sub", "--earliest", "-n1", "a"];
    let with = home.run(&[&sub, &at[..], &["--ids"]].concat()).out;
    assert!(
        with.ends_with(&format!("Z {} a  x\n", id.trim_end())),
        "{with}"
    );
    let without = home.run(&[&sub, &at[..]].concat()).out;
    assert!(!without.contains(id.trim_end()), "{without}");
    home.run(&["sub", "a", "--ids", "--json"])
        .expect(2, &["--ids"]);
}
