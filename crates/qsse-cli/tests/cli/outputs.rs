//! Outputs and inputs that are slow, stuck or gone end nothing but themselves.

use std::io::{BufRead, BufReader, PipeReader, Read};
use std::process::Stdio;

use crate::harness::{Home, Running, Server};

/// A server that has many events, and the lines that they are.
fn busy(home: &Home) -> (Server, Vec<String>) {
    let server = home.serve(&[]);
    let lines: Vec<_> = (0..20_000)
        .map(|i| format!("line {i} {}", "x".repeat(90)))
        .collect();
    let text = lines.join("\n");
    home.run_with(&["pub", "-s", &server.address, "a"], text.as_bytes())
        .expect(0, &[]);
    (server, lines)
}

/// Starts it with a standard output that is read by hand.
fn with_output(home: &Home, args: &[&str]) -> (Running, BufReader<PipeReader>) {
    let (reader, writer) = std::io::pipe().expect("the system has pipes");
    let running = Running::start(home.command(args).stdin(Stdio::piped()).stdout(writer));
    (running, BufReader::new(reader))
}

#[test]
fn a_log_that_nobody_reads_any_more_ends_nothing() {
    let home = Home::new();
    for level in ["debug", "warn"] {
        let (reader, writer) = std::io::pipe().unwrap();
        let args = ["serve", "--listen", "127.0.0.1:0", "--log-level", level];
        let server = Server::start(home.command(&args).stderr(writer));
        drop(reader);
        for _ in 0..3 {
            home.run(&["ping", "-n1", "-s", &server.address])
                .expect(0, &[]);
        }
        server.running.signal("TERM");
        server.running.done().expect(0, &[]);
    }
}

#[test]
fn a_log_that_is_read_too_slowly_loses_lines_and_no_clients() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let args = ["serve", "--listen", "127.0.0.1:0", "--log-level", "trace"];
    let server = Server::start(home.command(&args).stderr(writer));
    // Far more of a log than a pipe and the server's own memory for it take.
    let args = ["ping", "-n", "4000", "--interval", "0s"];
    home.run(&[&args[..], &["-s", &server.address]].concat())
        .expect(0, &[]);
    server.running.signal("TERM");
    let found = BufReader::new(reader)
        .lines()
        .map(Result::unwrap)
        .find(|line| line.starts_with("qsse: ") && line.contains(" lines were lost here"));
    assert!(found.is_some(), "what was lost is told");
    server.running.done().expect(0, &[]);
}

#[test]
fn a_subscriber_whose_output_is_stuck_ends_by_time_and_by_signals() {
    let home = Home::new();
    let (server, _) = busy(&home);
    let sub = ["sub", "-s", &server.address, "--earliest", "a"];
    let (running, reader) = with_output(&home, &[&sub[..], &["--timeout", "1s"]].concat());
    running.done().expect(3, &["time is up after"]);
    drop(reader);
    let (running, mut reader) = with_output(&home, &sub);
    reader.read_exact(&mut [0]).unwrap();
    running.signal("TERM");
    running.done().expect(0, &[]);
}

#[test]
fn a_stuck_output_loses_and_repeats_nothing_with_a_cursor() {
    let home = Home::new();
    let (server, lines) = busy(&home);
    let sub = "--raw --earliest --cursor at a";
    let sub: Vec<_> = ["sub", "-s", &server.address]
        .into_iter()
        .chain(sub.split(' '))
        .collect();
    let mut got = Vec::new();
    for _ in 0..3 {
        let (running, mut reader) = with_output(&home, &sub);
        // So many that more is under way, and then no more.
        for _ in 0..2_000 {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            got.push(line);
        }
        running.signal("TERM");
        running.done().expect(0, &[]);
        got.extend(reader.lines().map(|line| line.unwrap() + "\n"));
    }
    assert!(got.len() < lines.len());
    let got: Vec<_> = got.iter().map(|line| line.trim_end()).collect();
    assert!(got == lines[..got.len()], "other lines");
}

#[test]
fn input_that_does_not_come_is_waited_for_until_time_is_up_or_a_signal_comes() {
    let home = Home::new();
    let server = home.serve(&[]);
    let args = ["pub", "-s", &server.address, "--file", "-", "a"];
    let running = home.start(&[&args[..], &["--timeout", "100ms"]].concat());
    running
        .done()
        .expect(3, &["time is up, and the input has not ended"]);

    let fifo = home.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let args = [
        "pub",
        "-s",
        &server.address,
        "--file",
        "fifo",
        "a",
        "--timeout",
        "100ms",
    ];
    home.run(&args).expect(3, &["time is up"]);
}

#[test]
fn a_closed_pipe_ends_every_command_quietly() {
    let home = Home::new();
    let server = home.serve(&[]);
    let at = ["-s", &server.address];
    let (running, mut reader) = with_output(
        &home,
        &[&["ping", "-n", "1000000", "--interval", "0s"][..], &at].concat(),
    );
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("connected to"), "{line}");
    drop(reader);
    assert_eq!(running.done().expect(0, &[]).err, "");

    for command in [
        "--help",
        "sub --help",
        "completions bash",
        "check-config",
        "cert",
        "demo",
        "ping",
        "pub a x",
        "bench --duration 1s --warmup 0s --subscribers 1",
    ] {
        let mut args: Vec<_> = command.split(' ').collect();
        if ["ping", "pub", "bench"].contains(&args[0]) {
            args.extend(at);
        }
        let (running, reader) = with_output(&home, &args);
        drop(reader);
        let done = running.done();
        done.expect(0, &[]);
        assert!(!done.err.contains("qsse: "), "{command}: {done:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_is_full_is_told() {
    let home = Home::new();
    let server = home.serve(&[]);
    let at = ["-s", &server.address];
    for args in [
        &["check-config"][..],
        &["ping", "-n1"],
        &["pub", "a", "x"],
        &["sub", "--earliest", "a"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let mut command = home.command(args);
        command.stdout(full.unwrap());
        if args[0] != "check-config" {
            command.args(at);
        }
        let done: crate::harness::Done = command.output().unwrap().into();
        done.expect(1, &["cannot write to standard output"]);
    }
}

#[test]
fn with_json_everything_on_standard_error_is_json() {
    let home = Home::new();
    home.file("bad.toml", "lisen = 'x'\n");
    home.file("json.toml", "log_format = 'json'\n");
    home.file(
        "tokens.toml",
        "[[token]]\ntoken = 'sesame'\npublish = ['a']\n",
    );
    let json = |args: &[&str], input: &[u8]| {
        let mut running = Running::start(
            home.command(args)
                .env("QSSE_LOG_FORMAT", "json")
                .stdin(Stdio::piped()),
        );
        running.input(input);
        running.close_input();
        running.done()
    };
    let mut server = Server::start(home.command(&["serve", "--listen", "127.0.0.1:0"]).args([
        "--log-format",
        "json",
        "--log-level",
        "info",
    ]));
    server.running.error_line("fingerprint");
    let address = server.address.clone();
    let at = |args: &[&'static str]| [args, &["-s", address.as_str()]].concat();
    let mut all = vec![
        json(&[], b""),
        json(&["serve", "--lisen"], b""),
        json(&["sub"], b""),
        json(&["serve", "--config", "bad.toml"], b""),
        json(&["serve", "--tokens", "tokens.toml", "--open"], b""),
        json(&at(&["sub", "a", "--timeout", "200ms", "--insecure"]), b""),
        json(&at(&["sub", "a*b"]), b""),
        json(&at(&["pub", "--from-json"]), b"no json\n"),
        json(&at(&["ping", "-n1", "--log-level", "debug"]), b""),
        json(&at(&["bench", "--duration", "1ms", "--warmup", "0s"]), b""),
        home.run(&["sub", "--log-format=json", "--nonsense"]),
        home.run(&["cert", "--file", "none", "--config", "json.toml"]),
    ];
    assert!(
        all.iter().all(|done| !done.err.is_empty()),
        "each has something to say: {all:?}"
    );
    server.running.signal("HUP");
    server.running.error_line("reloaded");
    server.running.signal("TERM");
    all.push(server.running.done());
    for done in all {
        for line in done.err.lines() {
            let object: Result<serde_json::Value, _> = serde_json::from_str(line);
            let object = object.unwrap_or_else(|error| panic!("{error}: {line}"));
            for key in ["timestamp", "level", "fields", "target"] {
                assert!(object.get(key).is_some(), "no {key}: {line}");
            }
        }
    }
    let text = home.run(&["cert", "--file", "none"]);
    assert!(text.expect(2, &[]).err.starts_with("qsse: "), "{text:?}");
}
