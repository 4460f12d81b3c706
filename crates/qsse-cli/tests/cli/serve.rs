//! What `serve` prints and binds, and how it ends.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::{Home, Running};

#[test]
fn it_says_where_it_listens_and_how_to_use_it() {
    let home = Home::new();
    let mut server = home.serve(&["--metrics", "127.0.0.1:0", "--topics", "ride.*"]);
    let metrics = server.running.line("metrics on 127.0.0.1:");
    assert!(!metrics.ends_with(":0"), "{metrics}");
    server.running.error_line("fingerprint  ");
    server
        .running
        .error_line("anyone may subscribe, only programs on this machine may publish");
    let subscribe = server.running.error_line("subscribe    ");
    let publish = server.running.error_line("publish      ");

    // As printed they work.
    let shell = |line: &str, more: &str| {
        let (_, command) = line.split_once("  ").unwrap();
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", &format!("exec {command} {more}")])
            .current_dir(home.path());
        shell.env("QSSE_STATE_DIR", home.path().join("state"));
        shell
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        Running::start(&mut shell)
    };
    assert!(subscribe.ends_with(" 'ride.*'"), "{subscribe}");
    let mut sub = shell(&subscribe, "-n1");
    sub.error_line("subscribed to");
    shell(&publish, "").done().expect(0, &[]);
    assert!(sub.done().expect(0, &[]).out.ends_with("hello, world\n"));
}

#[test]
fn metrics_count_what_happened_and_nothing_else_is_answered() {
    let home = Home::new();
    let mut server = home.serve(&["--metrics", "127.0.0.1:0", "--topics", "a,b"]);
    let line = server.running.line("metrics on ");
    let address = line.strip_prefix("metrics on ").unwrap();
    let get = |head: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        let _ = stream.write_all(head.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let metrics = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let before = get(metrics);
    assert!(before.starts_with("HTTP/1.1 200 OK\r\n"), "{before}");
    assert!(
        before.contains("qsse_qsse_event_count{topic=\"a\"} 0\n"),
        "{before}"
    );
    let _sub = home.subscribe(&server, &["a"]);
    home.run(&["pub", "-s", &server.address, "a", "x"])
        .expect(0, &[]);
    let after = get(metrics);
    assert!(
        after.contains("qsse_qsse_event_count{topic=\"a\"} 1\n"),
        "{after}"
    );
    assert!(
        after.contains("qsse_qsse_subscriber_count{topic=\"a\"} 1\n"),
        "{after}"
    );
    let (_, body) = after.split_once("\r\n\r\n").unwrap();
    assert!(
        after.contains(&format!("Content-Length: {}\r\n", body.len())),
        "{after}"
    );

    assert!(get("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(get("POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9_000));
    assert!(!get(&long).contains("200 OK"));
}

#[test]
fn an_address_that_cannot_be_had_is_status_8() {
    let home = Home::new();
    let mut server = home.serve(&["--metrics", "127.0.0.1:0"]);
    home.run(&["serve", "--listen", &server.address])
        .expect(8, &[&server.address, "in use by another program"]);
    let metrics = server.running.line("metrics on ");
    let metrics = metrics.strip_prefix("metrics on ").unwrap();
    home.run(&["serve", "--listen", "127.0.0.1:0", "--metrics", metrics])
        .expect(8, &[metrics]);
    home.run(&["serve", "--open", "--listen", "192.0.2.1:0"])
        .expect(8, &["not an address of this machine"]);
}

#[test]
fn a_signal_drains_and_a_second_ends_at_once() {
    let home = Home::new();
    for signal in ["INT", "TERM"] {
        let server = home.serve(&[]);
        let _sub = home.subscribe(&server, &["a"]);
        server.running.signal(signal);
        server.running.done().expect(0, &["draining"]);
    }
    let mut server = home.serve(&["--drain-timeout", "1h"]);
    let sub = home.subscribe(&server, &["a"]);
    // It keeps its connection and never takes its leave.
    sub.signal("STOP");
    server.running.signal("INT");
    server.running.error_line("draining");
    server.running.signal("INT");
    server.running.done().expect(130, &[]);
}

#[test]
fn the_demo_shows_events_and_figures_and_how_to_go_on() {
    let home = Home::new();
    let done = home.run(&["demo", "--seconds", "2"]);
    done.expect(0, &[]);
    for part in [
        "got  ride.7.start",
        "a second delivered",
        "99% within",
        "qsse serve",
        "sub 'ride.*'",
    ] {
        assert!(done.out.contains(part), "lacks {part:?}: {}", done.out);
    }
    assert!(
        !home.path().join("state").exists(),
        "the demo leaves nothing behind"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn with_several_shards_it_serves_refuses_a_second_and_drains() {
    let home = Home::new();
    let server = home.serve(&["--shards", "2", "--open"]);
    let threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.running.id())).unwrap();
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
        let names = tasks.map(|task| name(task.unwrap()).unwrap_or_default());
        names.filter(|name| name.starts_with("qsse-shard-")).count()
    };
    assert_eq!(threads(), 2);
    let mut subs: Vec<_> = (0..8)
        .map(|_| home.subscribe(&server, &["a", "-n2"]))
        .collect();
    for text in ["one", "two"] {
        home.run(&["pub", "-s", &server.address, "a", text])
            .expect(0, &[]);
    }
    while let Some(sub) = subs.pop() {
        let done = sub.done();
        done.expect(0, &[]);
        assert!(
            done.out.contains("one") && done.out.contains("two"),
            "{done:?}"
        );
    }
    for shards in ["1", "2"] {
        home.run(&["serve", "--listen", &server.address, "--shards", shards])
            .expect(8, &[&server.address, "in use by another program"]);
    }
    server.running.signal("INT");
    server.running.done().expect(0, &["draining"]);
    // The other way round: one shard first.
    let server = home.serve(&[]);
    home.run(&["serve", "--listen", &server.address, "--shards", "2"])
        .expect(8, &[&server.address, "in use by another program"]);
}

#[test]
fn sighup_reloads_and_does_not_end_the_server() {
    let home = Home::new();
    let mut server = home.serve(&[]);
    server.running.signal("HUP");
    server.running.error_line("reloaded: nothing has changed");
    home.run(&["ping", "-n1", "-s", &server.address])
        .expect(0, &[]);
    server.running.signal("TERM");
    server.running.done().expect(0, &["draining"]);
}
