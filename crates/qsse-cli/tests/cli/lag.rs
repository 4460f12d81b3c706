//! `sub --on-lag`: what happens when its output is read too slowly.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::process::Stdio;

use crate::harness::{Done, Home, Running, Server};

/// Events of each of two topics: together far more than pipe, windows and feed hold.
const ROUNDS: u32 = 4_000;

struct Stalled {
    home: Home,
    server: Server,
    shell: Running,
}

impl Stalled {
    /// A subscriber whose output nobody reads beyond the first event, until all others were
    /// published.
    fn start(flags: &str) -> Self {
        let home = Home::new();
        let mut serve = home.command(&["serve", "--listen", "127.0.0.1:0"]);
        serve.env("QSSE_LIMITS_FEED", "64KiB");
        let server = Server::start(serve.env("QSSE_LIMITS_SEND_WINDOW", "64KiB"));
        let sub = format!(
            "echo $$ > pid; exec {} sub -s {} --json {flags} '*'",
            env!("CARGO_BIN_EXE_qsse"),
            server.address
        );
        let read = "read -r first; echo \"$first\"; until [ -e go ]; do sleep 0.01; done; cat";
        let command = format!("bash -c \"{sub}\" | {{ {read}; }}").replace("$$", "\\$\\$");
        let mut shell = std::process::Command::new("bash");
        shell
            .args(["-o", "pipefail", "-c", &command])
            .current_dir(home.path())
            .env("QSSE_STATE_DIR", home.path().join("state"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut shell = Running::start(&mut shell);
        shell.error_line("subscribed to");
        let mut stalled = Self {
            home,
            server,
            shell,
        };
        stalled.publish(&[("a", "first".into())]);
        stalled.shell.line("first");
        let padding = "x".repeat(1_000);
        let flood =
            (0..ROUNDS).flat_map(|n| ["a", "b"].map(|topic| (topic, format!("{n} {padding}"))));
        stalled.publish(&flood.collect::<Vec<_>>());
        stalled.home.file("go", "");
        stalled
    }

    fn publish(&self, events: &[(&str, String)]) {
        let line = |(topic, data): &(&str, String)| {
            format!("{{\"topic\":\"{topic}\",\"data\":\"{data}\"}}\n")
        };
        let lines: String = events.iter().map(line).collect();
        let args = ["pub", "-s", &self.server.address, "--from-json"];
        self.home.run_with(&args, lines.as_bytes()).expect(0, &[]);
    }

    /// Ends it once it has caught up: when it sees what is published now. Gives its lines.
    fn caught_up(mut self) -> Vec<String> {
        while !self.shell.has_line("\"data\":\"end\"") {
            self.publish(&[("end", "end".into())]);
        }
        let pid = std::fs::read_to_string(self.home.path().join("pid")).unwrap();
        let killed = std::process::Command::new("kill").arg(pid.trim()).status();
        assert!(killed.unwrap().success());
        let done = self.shell.done();
        done.expect(0, &[]).out.lines().map(Into::into).collect()
    }
}

fn seq(line: &str) -> u32 {
    let id = line.split('"').nth(3).unwrap();
    id.split('-').nth(1).unwrap().parse().unwrap()
}

/// Fails unless every event that is missing was told by a gap of this reason, before those behind
/// it. Gives the events.
fn told(lines: &[String], reason: &str) -> Vec<u32> {
    let (mut last, mut told) = (0, 0);
    let mut seen = Vec::new();
    for line in lines {
        if let Some(gap) = line.strip_prefix("{\"gap\":{\"from\":\"") {
            assert!(
                gap.ends_with(&format!("\"reason\":\"{reason}\"}}}}")),
                "{gap}"
            );
            let ids: Vec<_> = gap.split('"').filter(|part| part.contains('-')).collect();
            let seq = |id: &str| id.split('-').nth(1).unwrap().parse::<u32>().unwrap();
            assert_eq!(seq(ids[0]), last.max(told) + 1, "{gap}");
            told = seq(ids[1]);
        } else {
            let seq = seq(line);
            assert!(seq > last, "{seq} after {last}");
            assert!(seq == last + 1 || seq <= told + 1, "{last}, then {seq}");
            last = seq;
            seen.push(seq);
        }
    }
    assert!(told > 0, "it never lagged");
    seen
}

#[test]
fn by_default_it_catches_up_with_everything() {
    let lines = Stalled::start("").caught_up();
    let flood = 1 + 2 * ROUNDS;
    let events = lines.iter().map(|line| seq(line));
    assert!(events.take(flood as usize).eq(1..=flood));
}

#[test]
fn skipping_tells_what_it_leaves_out() {
    let lines = Stalled::start("--on-lag skip").caught_up();
    let seen = told(&lines, "skipped");
    assert!(seen.len() < 2 * ROUNDS as usize, "it never skipped");
}

#[test]
fn latest_tells_what_it_leaves_out_and_ends_with_the_last_of_each_topic() {
    let lines = Stalled::start("--on-lag latest").caught_up();
    let seen = told(&lines, "latest");
    assert!(seen.len() < 2 * ROUNDS as usize, "it left nothing out");
    assert!(seen.contains(&(2 * ROUNDS)) && seen.contains(&(2 * ROUNDS + 1)));
}

#[test]
fn disconnecting_ends_it_and_says_how_to_go_on() {
    let Stalled {
        home,
        server,
        shell,
    } = Stalled::start("--on-lag disconnect");
    let done = shell.done();
    done.expect(3, &["fell behind and was cut off"]);
    let last = seq(done.out.lines().last().unwrap());
    let after = done.err.split("--after ").nth(1).unwrap().trim();
    assert!(after.ends_with(&format!("-{last}")), "{after}, not {last}");
    let args = [
        "sub",
        "-s",
        &server.address,
        "--json",
        "-n1",
        "--after",
        after,
        "*",
    ];
    let next = home.run(&args);
    assert_eq!(seq(&next.expect(0, &[]).out), last + 1);
}

#[test]
fn after_a_disconnect_the_same_command_goes_on_with_a_cursor() {
    let Stalled {
        home,
        server,
        shell,
    } = Stalled::start("--on-lag disconnect --cursor at");
    let done: Done = shell.done();
    done.expect(3, &["the same command goes on"]);
    let last = seq(done.out.lines().last().unwrap());
    let cursor = ["sub", "-s", &server.address, "--json", "--cursor", "at"];
    let next = home.run(&[&cursor[..], &["-n1", "--on-lag", "disconnect", "*"]].concat());
    assert_eq!(seq(&next.expect(0, &[]).out), last + 1);
}
