//! `qsse serve --http`, asked with the commands of docs/http.md and docs/from-mercure.md.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use crate::harness::{Home, PATIENCE, Server};

const GUIDE: &str = include_str!("../../../../docs/http.md");
const FROM_MERCURE: &str = include_str!("../../../../docs/from-mercure.md");

/// A server that answers HTTP, and where.
fn serve(home: &Home) -> (Server, String) {
    let mut server = home.serve(&["--http", "127.0.0.1:0"]);
    let line = server.running.line("http on ");
    let address = line.strip_prefix("http on ").unwrap().to_owned();
    (server, address)
}

/// Sends a request and returns the answer.
fn ask(address: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = address.rsplit(':').next().unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The lines of `guide` that call curl and need no token. None if curl is not installed.
fn commands(guide: &'static str) -> Option<Vec<&'static str>> {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: curl is not installed, and the guide's commands need it");
        return None;
    }
    let commands = guide.lines().filter(|line| line.starts_with("curl "));
    Some(commands.filter(|line| !line.contains("TOKEN")).collect())
}

/// Runs a command of a guide with the server at `address`, and returns what it prints.
fn run(command: &str, address: &str) -> String {
    let here = command.replace("localhost:8080", address);
    let done = Command::new("sh").args(["-c", &here]).output().unwrap();
    // 28: the time that the command gives itself is over.
    assert!(
        matches!(done.status.code(), Some(0 | 28)),
        "{here}: {done:?}"
    );
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn the_commands_of_the_guide_work() {
    let Some(commands) = commands(GUIDE) else {
        return;
    };
    let home = Home::new();
    let (_server, address) = serve(&home);
    // The first one has no end, which is tested with the library.
    assert!(commands.len() >= 9, "{commands:?}");
    for command in &commands[1..] {
        let out = run(command, &address);
        assert!(
            out.starts_with('{') && !out.contains("\"status\""),
            "{command}: {out}"
        );
    }
}

#[test]
fn the_commands_for_users_of_mercure_work() {
    let Some(commands) = commands(FROM_MERCURE) else {
        return;
    };
    let home = Home::new();
    let (_server, address) = serve(&home);
    let [publish, subscribe] = commands[..] else {
        panic!("{commands:?}");
    };
    let published = run(publish, &address);
    let id = published.split('"').nth(3).unwrap();
    let stream = run(subscribe, &address);
    let event = format!("id: {id}\ndata: {{\"isbn\":\"9780735218789\"}}\n\n");
    assert!(stream.contains(&event), "{stream}");
}

#[test]
fn a_web_page_does_not_profit_from_the_trust_in_this_machine() {
    let home = Home::new();
    let (_server, address) = serve(&home);
    let publish = |headers: &str| ask(&address, "POST", "/publish/a", headers, "1");
    assert!(publish("").starts_with("HTTP/1.1 200"));
    let page = publish("origin: https://example.org\r\n");
    assert!(
        page.starts_with("HTTP/1.1 403") && page.contains("another origin"),
        "{page}"
    );
    let proxied = publish("x-forwarded-for: 192.0.2.1\r\n");
    assert!(
        proxied.starts_with("HTTP/1.1 403") && proxied.contains("a proxy"),
        "{proxied}"
    );
    // A name of its own that leads to this machine.
    let mut stream = TcpStream::connect(&address).unwrap();
    let head = b"GET /topics HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\n\r\n";
    stream.write_all(head).unwrap();
    let mut rebound = String::new();
    stream.read_to_string(&mut rebound).unwrap();
    assert!(rebound.starts_with("HTTP/1.1 403"), "{rebound}");
}

#[test]
fn others_reach_http_only_if_settings_say_who_may() {
    let home = Home::new();
    let args = ["serve", "--listen", "127.0.0.1:0", "--http", "0.0.0.0:0"];
    home.run(&args)
        .expect(2, &["others can reach 0.0.0.0:0", "--tokens"]);
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--http-origins",
        "app.example.org",
    ];
    home.run(&args).expect(2, &["https://app.example.org"]);
    let args = ["serve", "--http-plain"];
    home.run(&args).expect(2, &["has no effect without http"]);
}

#[test]
fn a_drain_tells_streams_to_come_back() {
    let home = Home::new();
    let (server, address) = serve(&home);
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET /events?topic=a HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4_096];
    while !seen.contains("id: ") {
        let read = stream.read(&mut buffer).unwrap();
        seen.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    server.running.signal("TERM");
    stream.read_to_string(&mut seen).unwrap();
    assert!(
        seen.contains("event: qsse.end") && seen.contains("\"retry\":true"),
        "{seen}"
    );
}

#[test]
fn the_commands_that_are_printed_work() {
    if Command::new("curl").arg("--version").output().is_err() {
        return;
    }
    let home = Home::new();
    let (mut server, address) = serve(&home);
    let subscribe = server.running.error_line("curl -N");
    let expected = format!("with curl    curl -N 'http://{address}/events?topic=*'");
    assert_eq!(subscribe, expected);
    let publish = server.running.error_line("curl -d");
    let out = run(publish.trim(), &address);
    assert!(out.starts_with("{\"id\":"), "{out}");
}

#[test]
fn a_reload_replaces_what_http_clients_may_do() {
    let home = Home::new();
    let tokens = |token: &str| {
        let text = format!("[[token]]\ntoken = '{token}'\nsubscribe = ['*']\npublish = ['*']\n");
        home.file("tokens.toml", &text);
    };
    tokens("first-4c7f1e9a0b");
    let mut server = home.serve(&["--http", "127.0.0.1:0", "--tokens", "tokens.toml"]);
    let line = server.running.line("http on ");
    let address = line.strip_prefix("http on ").unwrap().to_owned();
    let status = |token: &str| {
        let header = format!("authorization: Bearer {token}\r\n");
        let answer = ask(&address, "POST", "/publish/a", &header, "1");
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let (first, second) = ("first-4c7f1e9a0b", "second-83d2a6c5f7");
    assert_eq!(
        (status(first), status(second)),
        ("200".into(), "401".into())
    );
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let get = format!(
        "GET /events?topic=a HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {first}\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(get.as_bytes()).unwrap();
    tokens(second);
    server.running.signal("HUP");
    server.running.error_line("reloaded");
    assert_eq!(
        (status(first), status(second)),
        ("401".into(), "200".into())
    );
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("event: qsse.end"), "{rest}");
}
