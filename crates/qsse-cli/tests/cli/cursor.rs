//! `sub --cursor`: from one run to the next.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::harness::{Home, Running, Server};

/// Publishes `line FROM` to `line TO`.
fn publish(home: &Home, server: &Server, lines: std::ops::RangeInclusive<u32>) {
    let lines: String = lines.map(|n| format!("{n}\n")).collect();
    home.run_with(&["pub", "-s", &server.address, "a"], lines.as_bytes())
        .expect(0, &[]);
}

fn lines(numbers: std::ops::RangeInclusive<u32>) -> String {
    numbers.map(|n| format!("{n}\n")).collect()
}

/// `sub` with this cursor file.
fn sub<'a>(server: &'a Server, args: &[&'a str]) -> Vec<&'a str> {
    let start = ["sub", "-s", &server.address, "--raw", "--cursor", "at"];
    [&start, args, &["a"]].concat()
}

fn text(home: &Home) -> String {
    std::fs::read_to_string(home.path().join("at")).unwrap_or_default()
}

/// Waits until the file has the position after this event.
fn wait_for(home: &Home, seq: u32) {
    let begun = Instant::now();
    while !text(home).trim_end().ends_with(&format!("-{seq}")) {
        let late = begun.elapsed() > Duration::from_secs(60);
        assert!(!late, "the cursor is {:?}, not {seq}", text(home));
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn done(running: Running, signal: &str) -> String {
    running.signal(signal);
    running.done().out
}

#[test]
fn the_next_run_goes_on_where_the_last_stopped() {
    let home = Home::new();
    let server = home.serve(&[]);
    publish(&home, &server, 1..=12);
    let first = home.run(&sub(&server, &["--earliest", "--count", "5"]));
    assert_eq!(first.expect(0, &[]).out, lines(1..=5));
    let at = text(&home);
    assert!(at.ends_with("-5\n") && at.lines().count() == 1, "{at:?}");

    // The start counts only while there is no file.
    let second = home.run(&sub(&server, &["--last", "1", "--count", "5"]));
    let at = at.trim_end();
    assert_eq!(
        second.expect(0, &[&format!("resumed after {at}\n")]).out,
        lines(6..=10)
    );

    for (signal, expected) in [("INT", lines(11..=12)), ("TERM", lines(13..=14))] {
        let mut running = home.start(&sub(&server, &[]));
        running.line(expected.lines().last().unwrap());
        assert_eq!(done(running, signal), expected);
        publish(&home, &server, 13..=14);
    }
    let timed = home.run(&sub(&server, &["--timeout", "2s", "--count", "9"]));
    assert_eq!(timed.expect(3, &["time is up"]).out, lines(13..=14));
    wait_for(&home, 16);
    let files = ["at", "at.lock"].map(PathBuf::from);
    let mut found: Vec<_> = std::fs::read_dir(home.path())
        .unwrap()
        .map(|entry| PathBuf::from(entry.unwrap().file_name()))
        .filter(|name| name.to_string_lossy().starts_with("at"))
        .collect();
    found.sort();
    assert_eq!(found, files);
}

#[test]
fn a_closed_pipe_leaves_the_position_of_what_was_flushed() {
    let home = Home::new();
    let server = home.serve(&[]);
    publish(&home, &server, 1..=3);
    let command = format!(
        "{} sub -s {} --raw --earliest --cursor at a | head -n 3",
        env!("CARGO_BIN_EXE_qsse"),
        server.address
    );
    let mut shell = std::process::Command::new("bash");
    shell.args(["-o", "pipefail", "-c", &command]);
    shell
        .current_dir(home.path())
        .env("QSSE_STATE_DIR", home.path().join("state"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut shell = Running::start(&mut shell);
    shell.line("3");
    wait_for(&home, 3);
    // Nobody reads this one.
    publish(&home, &server, 4..=4);
    assert_eq!(shell.done().expect(0, &[]).out, lines(1..=3));
    assert!(text(&home).ends_with("-3\n"), "{}", text(&home));
    let next = home.run(&sub(&server, &["-n1"]));
    assert_eq!(next.expect(0, &[]).out, "4\n");
}

#[test]
fn a_killed_run_loses_nothing() {
    let home = Home::new();
    let server = home.serve(&[]);
    // From the start on there is a position, also before the first event.
    let running = home.subscribe(&server, &["--raw", "--cursor", "at", "a"]);
    wait_for(&home, 0);
    drop(running);
    let mut publisher = home.start(&["pub", "-s", &server.address, "a"]);
    let mut next = 0;
    let mut seen = std::collections::BTreeSet::new();
    let mut last = 0;
    for _round in 0..5 {
        let mut running = home.subscribe(&server, &["--raw", "--cursor", "at", "a"]);
        for _ in 0..200 {
            next += 1;
            publisher.input(format!("{next}\n").as_bytes());
        }
        running.line(&next.to_string());
        running.signal("KILL");
        let out = running.done().out;
        let numbers: Vec<u32> = out.lines().map(|line| line.parse().unwrap()).collect();
        assert!(
            numbers[0] <= last + 1,
            "began with {} after {last}",
            numbers[0]
        );
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        last = *numbers.last().unwrap();
        seen.extend(numbers);
    }
    assert!(seen.into_iter().eq(1..=next));
}

#[test]
fn the_position_is_kept_while_events_come_and_while_there_are_none() {
    let home = Home::new();
    let server = Server::start(
        home.command(&["serve", "--listen", "127.0.0.1:0"])
            .env("QSSE_LIMITS_HEARTBEAT", "50ms"),
    );
    let mut running = home.subscribe(&server, &["--raw", "--cursor", "at", "a"]);
    publish(&home, &server, 1..=3);
    running.line("3");
    wait_for(&home, 3);
    // A heartbeat moves it on a topic where nothing happens.
    home.run(&["pub", "-s", &server.address, "other", "x"])
        .expect(0, &[]);
    wait_for(&home, 4);
    publish(&home, &server, 5..=5);
    running.line("5");
    running.signal("KILL");
    running.done();
}

#[test]
fn what_cannot_be_used_is_refused_before_anything_is_asked_for() {
    let home = Home::new();
    // Nobody listens there: it is not even tried.
    let nobody = ["sub", "-s", "127.0.0.1:9", "--earliest", "a", "--cursor"];
    let sub = |file: &str| home.run(&[&nobody[..], &[file]].concat());
    for content in ["", "latest\n", "4C92-1\n4C92-2\n", "0-3\n", "\0\0\0\0"] {
        home.file("bad", content);
        let part = if content.is_empty() {
            "is empty: remove it"
        } else {
            "is not one line with an id"
        };
        sub("bad").expect(2, &["cursor file", "bad", part]);
        assert_eq!(
            std::fs::read_to_string(home.path().join("bad")).unwrap(),
            content,
            "left as it was"
        );
    }
    home.file("bytes", b"\xff\xfe");
    sub("bytes").expect(2, &["is not one line"]);
    std::fs::create_dir(home.path().join("folder")).unwrap();
    sub("folder").expect(2, &["folder", "no regular file"]);
    sub("nowhere/at").expect(2, &["nowhere/at", "No such file"]);
    home.file("file", "4C92-1\n");
    sub("file/at").expect(2, &["file/at", "Not a directory"]);
    sub("").expect(2, &["--cursor"]);
    sub("..").expect(2, &["no name of a file"]);
    #[cfg(target_os = "linux")]
    sub("/proc/at").expect(2, &["cannot write in the folder", "/proc/at"]);
    // A good one gets further.
    sub("file").expect(3, &["127.0.0.1:9"]);
    assert_eq!(
        std::fs::read_to_string(home.path().join("file")).unwrap(),
        "4C92-1\n"
    );
}

#[cfg(unix)]
#[test]
fn a_cursor_file_keeps_its_permissions_and_a_closed_folder_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let folder = home.path().join("closed");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(folder.join("probe"), "").is_ok() {
        return; // Whoever may write everywhere is stopped by no permission.
    }
    home.run(&["sub", "-s", "127.0.0.1:9", "--cursor", "closed/at", "a"])
        .expect(2, &["cannot write in the folder", "closed/at"]);
}

#[test]
fn two_at_once_cannot_share_a_file() {
    let home = Home::new();
    let server = home.serve(&[]);
    let running = home.subscribe(&server, &["--raw", "--cursor", "at", "a"]);
    home.run(&sub(&server, &["-n1"]))
        .expect(2, &["another process uses the cursor file", "at"]);
    publish(&home, &server, 1..=1);
    wait_for(&home, 1);
    assert_eq!(done(running, "TERM"), "1\n");
    publish(&home, &server, 2..=2);
    assert_eq!(home.run(&sub(&server, &["-n1"])).expect(0, &[]).out, "2\n");
}

#[test]
fn a_link_leads_to_the_file_that_is_replaced() {
    let home = Home::new();
    let server = home.serve(&[]);
    publish(&home, &server, 1..=2);
    let id = home
        .run(&[
            "sub",
            "-s",
            &server.address,
            "--earliest",
            "--json",
            "-n1",
            "a",
        ])
        .out;
    let id = id.split('"').nth(3).unwrap();
    std::fs::create_dir(home.path().join("kept")).unwrap();
    home.file("kept/at", id);
    #[cfg(unix)]
    std::os::unix::fs::symlink("kept/at", home.path().join("at")).unwrap();
    assert_eq!(home.run(&sub(&server, &["-n1"])).expect(0, &[]).out, "2\n");
    let kept = std::fs::read_to_string(home.path().join("kept/at")).unwrap();
    assert!(kept.ends_with("-2\n"), "{kept}");
}

#[test]
fn a_cursor_older_than_the_history_meets_the_gap_until_it_is_accepted() {
    let home = Home::new();
    let server = Server::start(
        home.command(&["serve", "--listen", "127.0.0.1:0"])
            .env("QSSE_LIMITS_HISTORY_EVENTS", "2"),
    );
    publish(&home, &server, 1..=1);
    home.run(&sub(&server, &["--earliest", "-n1"]))
        .expect(0, &[]);
    publish(&home, &server, 2..=9);
    for _ in 0..2 {
        home.run(&sub(&server, &["--fail-on-gap", "-n1"]))
            .expect(9, &["with a gap", "events were missed"]);
        assert!(text(&home).ends_with("-1\n"), "a gap does not move it");
    }
    let told = home.run(&sub(&server, &["-n1"]));
    assert_eq!(
        told.expect(0, &["up to 6 events may be missing"]).out,
        "8\n"
    );
    let after = home.run(&sub(&server, &["--fail-on-gap", "-n1"]));
    assert_eq!(after.expect(0, &[]).out, "9\n");
}

#[test]
fn another_log_is_a_reset_and_the_file_goes_over_to_it() {
    let home = Home::new();
    let first = home.serve(&[]);
    let address = first.address.clone();
    publish(&home, &first, 1..=3);
    home.run(&sub(&first, &["--earliest", "-n3"]))
        .expect(0, &[]);
    let old = text(&home).trim_end().to_owned();
    let running = home.subscribe(&first, &["--json", "a"]);
    first.running.signal("TERM");
    first.running.done().expect(0, &[]);

    // On the same port, so that the one that runs finds it too.
    let second = Server::start(&mut home.command(&["serve", "--listen", &address]));
    publish(&home, &second, 4..=5);
    let args = [
        "sub", "-s", &address, "--json", "--cursor", "at", "-n2", "a",
    ];
    let done = home.run(&args);
    let lines: Vec<_> = done
        .expect(0, &[&format!("reset: {old} is not of the server's log")])
        .out
        .lines()
        .collect();
    assert!(
        lines[0].starts_with(&format!(
            "{{\"reset\":{{\"after\":\"{old}\",\"position\":\""
        )),
        "{lines:?}"
    );
    assert!(lines[2].ends_with("\"data\":\"5\"}"), "{lines:?}");
    let new = text(&home);
    assert!(
        new.ends_with("-2\n") && !new.starts_with(&old[..4]),
        "{new}"
    );

    let mut running = running;
    running.line("{\"reset\"");
    running.line("\"data\":\"5\"");
    running.signal("TERM");
    running
        .done()
        .expect(0, &["connecting again", "connected again"]);
}
