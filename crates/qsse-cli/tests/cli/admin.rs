//! `qsse admin` and SIGHUP, against a server that runs.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{Done, Home, PATIENCE, Server};

const TOKENS: &str = r#"
[[token]]
name = "ada"
token = "ada's long random token"
subscribe = ["*"]
publish = ["*"]

[[token]]
name = "bob"
token = "bob's long random token"
subscribe = ["*"]
"#;

/// A server that is administered over a socket in its home, and the arguments to ask it.
fn served(home: &Home, args: &[&str]) -> (Server, Vec<String>) {
    let socket = home.path().join("admin.sock").display().to_string();
    let server = home.serve(&[&["--admin", &socket], args].concat());
    (server, vec!["admin".into(), "--admin".into(), socket])
}

fn ask(home: &Home, admin: &[String], args: &[&str]) -> Done {
    let admin = admin.iter().map(String::as_str);
    home.run(&admin.chain(args.iter().copied()).collect::<Vec<_>>())
}

#[track_caller]
fn json(done: &Done) -> serde_json::Value {
    done.expect(0, &[]);
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"))
}

/// Returns what the socket in a home answers to a request.
fn get(home: &Home, path: &str) -> String {
    let mut socket = UnixStream::connect(home.path().join("admin.sock")).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

fn until(mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "it does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

#[test]
fn an_administrator_sees_clients_closes_them_and_revokes() {
    let home = Home::new();
    let tokens = home.file("tokens.toml", TOKENS);
    let (mut server, admin) = served(&home, &["--tokens", tokens.to_str().unwrap()]);
    server.running.line("admin on ");
    let ada = ["--token", "ada's long random token"];
    let mut subscriber = home.subscribe(&server, &[&ada[..], &["ride.*"]].concat());
    home.run(&[&["pub", "-s", &server.address], &ada[..], &["ride.7", "x"]].concat())
        .expect(0, &[]);
    subscriber.line("ride.7");

    let status = ask(&home, &admin, &["status"]);
    assert!(
        status.expect(0, &[]).out.contains("connections    1\n"),
        "{status:?}"
    );
    let answer = json(&ask(&home, &admin, &["connections", "--json"]));
    let client = &answer["connections"][0];
    assert_eq!(client["principal"], "ada");
    assert_eq!(client["subscriptions"][0]["filter"][0], "ride.*");
    assert!(!answer.to_string().contains("long random"), "{answer}");
    let of_bob = ["connections", "--json", "--principal", "bob"];
    let answer = json(&ask(&home, &admin, &of_bob));
    assert_eq!(answer["connections"], serde_json::json!([]));
    // The same as other programs ask for it.
    for (name, is_ada) in [("ada", true), ("bob", false)] {
        let answer = get(&home, &format!("/connections?principal={name}"));
        assert_eq!(answer.contains("\"principal\":\"ada\""), is_ada, "{answer}");
    }
    assert!(get(&home, "/connections?princpal=ada").contains("400"));
    let table = ask(&home, &admin, &["connections", "--principal", "ada"]);
    assert!(table.out.starts_with("ID  PRINCIPAL  ADDRESS"), "{table:?}");
    assert!(table.out.lines().all(|line| line.len() <= 80), "{table:?}");
    let topics = ask(&home, &admin, &["topics", "ride.*"]);
    assert!(topics.out.ends_with("ride.7\n"), "{topics:?}");

    let id = client["id"].to_string();
    ask(&home, &admin, &["close", &id]).expect(0, &[]);
    // The client comes back by itself.
    until(|| {
        let answer = json(&ask(&home, &admin, &["connections", "--json"]));
        answer["connections"][0]["id"].is_u64() && answer["connections"][0]["id"] != client["id"]
    });
    ask(&home, &admin, &["close", &id]).expect(1, &["there is no connection"]);
    let revoked = ask(
        &home,
        &admin,
        &["revoke", "--principal", "ada", "--remember", "1h"],
    );
    assert_eq!(
        revoked.expect(0, &[]).out,
        "revoked: closed 1 connection, refused for 1h\n"
    );
    subscriber.done().expect(5, &["the token was revoked"]);
    let refused = home.run(&[&["ping", "-s", &server.address], &ada[..]].concat());
    refused.expect(5, &["the token was revoked"]);
    ask(&home, &admin, &["revoke", "--principal", "ada", "--undo"]).expect(0, &[]);
    home.run(&[&["ping", "-n1", "-s", &server.address], &ada[..]].concat())
        .expect(0, &[]);

    ask(&home, &admin, &["drain"]).expect(0, &[]);
    server.running.done().expect(0, &["draining"]);
    ask(&home, &admin, &["status"]).expect(3, &["no server is administered at", "--admin"]);
}

#[test]
fn a_reload_takes_everything_or_nothing() {
    let home = Home::new();
    let tokens = home.file("tokens.toml", TOKENS);
    let config = home.file(
        "qsse.toml",
        "tokens = \"tokens.toml\"\n[limits]\nsubscriptions = 7\n",
    );
    let (mut server, admin) = served(&home, &["--config", config.to_str().unwrap()]);
    let bob = ["--token", "bob's long random token"];
    let subscriber = home.subscribe(&server, &[&bob[..], &["*"]].concat());

    // One file is broken, the other would take a right away: neither counts.
    write(
        &config,
        "tokens = \"tokens.toml\"\n[limits]\nsubscriptions = 0\n",
    );
    write(
        &tokens,
        TOKENS.split("\n[[token]]\nname = \"bob\"").next().unwrap(),
    );
    let refused = ask(&home, &admin, &["reload"]);
    refused.expect(2, &["limits.subscriptions is 0"]);
    server
        .running
        .error_line("nothing was reloaded, everything stays as it was");
    home.run(&[&["ping", "-n1", "-s", &server.address], &bob[..]].concat())
        .expect(0, &[]);
    // The other way round.
    write(
        &config,
        "tokens = \"tokens.toml\"\n[limits]\nwildcards = 0\n",
    );
    write(&tokens, "not TOML");
    ask(&home, &admin, &["reload"]).expect(2, &["tokens.toml"]);
    drop(home.subscribe(&server, &[&bob[..], &["a.*"]].concat()));

    write(
        &tokens,
        TOKENS.split("\n[[token]]\nname = \"bob\"").next().unwrap(),
    );
    write(
        &config,
        "tokens = \"tokens.toml\"\ntopics = [\"a\"]\n[limits]\nsubscriptions = 8\n\
         memory = \"1GiB\"\nprincipal_connections = 9\nfeed = \"1MiB\"\n",
    );
    let reloaded = json(&ask(&home, &admin, &["reload", "--json"]));
    assert_eq!(
        reloaded["changed"],
        serde_json::json!([
            "tokens",
            "limits.memory",
            "limits.subscriptions",
            "limits.principal_connections"
        ])
    );
    assert_eq!(
        reloaded["needs_restart"],
        serde_json::json!(["topics", "limits.feed"])
    );
    let again = json(&ask(&home, &admin, &["reload", "--json"]));
    assert_eq!(again["changed"], serde_json::json!([]));
    subscriber.done().expect(5, &[]);
    home.run(&[&["ping", "-s", &server.address], &bob[..]].concat())
        .expect(5, &[]);

    // SIGHUP does the same, and never ends the server.
    write(&tokens, "not TOML");
    server.running.signal("HUP");
    server.running.error_line("nothing was reloaded");
    write(&tokens, TOKENS);
    write(&config, "tokens = \"tokens.toml\"\nlog_level = \"debug\"\n");
    server.running.signal("HUP");
    until(|| {
        let ping = home.run(&[&["ping", "-n1", "-s", &server.address], &bob[..]].concat());
        ping.status == Some(0)
    });
    server.running.error_line("a client connected");
}

#[test]
fn a_new_certificate_is_noticed_and_a_broken_one_keeps_the_old() {
    let home = Home::new();
    let make = |name: &str| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let (first, second) = (make("localhost"), make("localhost"));
    let cert = home.file("cert.pem", &first.0);
    let key = home.file("key.pem", &first.1);
    let mut server = home.serve(&[
        "--cert",
        cert.to_str().unwrap(),
        "--key",
        key.to_str().unwrap(),
        "--admin",
        home.path().join("a.sock").to_str().unwrap(),
    ]);
    let presented = || home.run(&["cert", "--server", &server.address]).out;
    let before = presented();
    // Between two writes the files do not fit each other.
    write(&cert, &second.0);
    server.running.error_line("the old one stays in use");
    let presented = || home.run(&["cert", "--server", &server.address]).out;
    assert_eq!(presented(), before);
    write(&key, &second.1);
    server
        .running
        .error_line("the certificate's files have changed: reloaded");
    let presented = || home.run(&["cert", "--server", &server.address]).out;
    assert_ne!(presented(), before);
}

#[test]
fn a_port_needs_a_token_and_nothing_listens_for_other_machines() {
    let home = Home::new();
    let serve = |args: &[&str]| home.run(&[&["serve", "--listen", "127.0.0.1:0"], args].concat());
    serve(&["--admin", "127.0.0.1:0"]).expect(2, &["needs --admin-token-file"]);
    serve(&["--admin", "0.0.0.0:1"]).expect(2, &["can be reached from other machines"]);
    let token = home.file("admin.token", "0123456789abcdef\n");
    let token = token.to_str().unwrap();
    let short = home.file("short.token", "0123");
    serve(&[
        "--admin",
        "127.0.0.1:0",
        "--admin-token-file",
        short.to_str().unwrap(),
    ])
    .expect(2, &["at least 16 bytes"]);

    let args = ["--admin", "127.0.0.1:0", "--admin-token-file", token];
    let mut server = home.serve(&args);
    let line = server.running.line("admin on ");
    let address = line.strip_prefix("admin on ").unwrap();
    home.run(&["admin", "--admin", address, "status"])
        .expect(2, &["wants the admin token"]);
    let wrong = home.file("wrong.token", "fedcba9876543210");
    let ask = |token: &str| {
        home.run(&[
            "admin",
            "status",
            "--json",
            "--admin",
            address,
            "--admin-token-file",
            token,
        ])
    };
    ask(wrong.to_str().unwrap()).expect(5, &["the admin token is wrong"]);
    assert_eq!(json(&ask(token))["state"], "serving");
}

#[test]
fn the_audit_log_says_who_did_what_without_tokens_and_survives_rotation() {
    let home = Home::new();
    let tokens = home.file("tokens.toml", TOKENS);
    let (audit, moved) = (
        home.path().join("audit.log"),
        home.path().join("audit.log.1"),
    );
    let args = [
        "--tokens",
        tokens.to_str().unwrap(),
        "--audit",
        audit.to_str().unwrap(),
    ];
    let (mut server, admin) = served(&home, &args);
    let with = |token: &str, args: &[&str]| {
        let (command, rest) = args.split_first().unwrap();
        home.run(&[&[command, "-s", &server.address, "--token", token], rest].concat())
    };
    with(
        "bob's long random token",
        &["sub", "--timeout", "1s", "ride.*"],
    );
    with("bob's long random token", &["pub", "ride.7", "x"]).expect(6, &[]);
    with("nobody's long random token", &["ping"]).expect(5, &[]);
    ask(&home, &admin, &["revoke", "--principal", "bob"]).expect(0, &[]);
    let lines = |path: &Path| -> Vec<serde_json::Value> {
        let text = fs::read_to_string(path).unwrap_or_default();
        assert!(!text.contains("random token"), "{text}");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let has = |path: &Path, event: &str, allowed: bool, key: &str, value: &str| {
        until(|| {
            lines(path).iter().any(|line| {
                line["event"] == event
                    && line["allowed"] == allowed
                    && line[key].as_str().is_some_and(|text| text.contains(value))
            })
        });
    };
    has(&audit, "connect", true, "principal", "bob");
    has(&audit, "subscribe", true, "subject", "ride.*");
    has(&audit, "publish", false, "reason", "ride.7");
    has(&audit, "connect", false, "address", "127.0.0.1:");
    has(&audit, "revoke", true, "subject", "principal bob");
    has(&audit, "admin", true, "subject", "POST /revoke");

    fs::rename(&audit, &moved).unwrap();
    server.running.signal("HUP");
    server.running.error_line("reloaded");
    until(|| lines(&audit).iter().any(|line| line["event"] == "reload"));
    server.running.signal("TERM");
    server.running.done().expect(0, &[]);
    assert_eq!(lines(&audit).last().unwrap()["event"], "drain");
}
