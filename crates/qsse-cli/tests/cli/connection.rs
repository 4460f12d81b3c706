//! Servers that are there, are not, or come back.

use std::net::UdpSocket;

use crate::harness::{Home, Server};

#[test]
fn no_server_is_said_with_what_to_check() {
    let home = Home::new();
    // A socket that never answers, and a port that nobody has.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    for server in [silent.as_str(), "127.0.0.1:1"] {
        let args = ["sub", "a", "-s", server, "--connect-timeout", "200ms"];
        home.run(&args)
            .expect(3, &[server, "is a qsse server running there"]);
        let args = ["pub", "a", "x", "-s", server, "--connect-timeout", "200ms"];
        home.run(&args).expect(3, &[server]);
    }
    home.run(&["ping", "-s", "nobody.invalid"])
        .expect(3, &["nobody.invalid", "is the name right"]);
    let args = ["sub", "a", "-s", &silent, "--retry", "--timeout", "300ms"];
    home.run(&args).expect(3, &["time is up"]);
    let never = format!("time is up, and there was no connection to {silent}");
    for command in ["sub a", "sub -n1 a", "pub a x", "ping", "bench"] {
        let mut args: Vec<_> = command.split(' ').collect();
        args.extend(["-s", &silent, "--timeout", "100ms"]);
        home.run(&args).expect(3, &[&never]);
    }
}

#[test]
fn a_certificate_of_somebody_else_is_refused_and_can_be_pinned() {
    let (home, stranger) = (Home::new(), Home::new());
    let server = home.serve(&[]);
    let ping =
        |flags: &[&str]| stranger.run(&[&["ping", "-n1", "-s", &server.address], flags].concat());
    let refused = ping(&[]);
    refused.expect(4, &["certificate was refused", "--ca FILE", "fingerprint="]);
    let fingerprint = refused
        .err
        .rsplit("fingerprint=")
        .next()
        .unwrap()
        .trim()
        .to_owned();
    ping(&["--fingerprint", &fingerprint]).expect(0, &[]);
    let wrong = "00".repeat(32);
    ping(&["--fingerprint", &wrong]).expect(4, &["not the expected one"]);
    ping(&["--fingerprint", &format!("{wrong},{fingerprint}")]).expect(0, &[]);
    ping(&["--insecure"]).expect(0, &["anybody who answers is trusted"]);
    let ca = home.path().join("state/dev-cert.pem");
    ping(&["--ca", ca.to_str().unwrap()]).expect(0, &[]);
    let url = format!("qsse://{}?fingerprint={fingerprint}", server.address);
    stranger.run(&["ping", "-n1", "-s", &url]).expect(0, &[]);
}

#[test]
fn localhost_works_against_either_family() {
    let home = Home::new();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        if UdpSocket::bind(address).is_err() {
            continue; // This machine lacks the family.
        }
        let server = Server::start(&mut home.command(&["serve", "--listen", address]));
        let url = format!("localhost:{}", server.port());
        home.run(&["ping", "-n1", "-s", &url]).expect(0, &[]);
    }
}

#[test]
fn a_killed_server_that_comes_back_is_found_again_and_the_reset_is_seen() {
    let home = Home::new();
    let server = home.serve(&[]);
    let address = server.address.clone();
    let mut sub = home.subscribe(&server, &["--json", "-n2", "ride.*"]);
    home.run(&["pub", "-s", &address, "ride.7", "before"])
        .expect(0, &[]);
    sub.line("\"before\"");
    server.running.signal("KILL");
    server.running.done();

    let again = Server::start(&mut home.command(&["serve", "--listen", &address]));
    sub.error_line("connecting again");
    sub.error_line("connected again");
    home.run(&["pub", "-s", &again.address, "ride.7", "after"])
        .expect(0, &[]);
    let done = sub.done();
    let lines: Vec<_> = done.expect(0, &[]).out.lines().collect();
    assert!(
        lines[1].starts_with("{\"reset\":{\"after\":\""),
        "{lines:?}"
    );
    assert!(lines[2].contains("\"after\"}"), "{lines:?}");
}

#[test]
fn without_reconnecting_a_lost_server_is_the_end() {
    let home = Home::new();
    let server = home.serve(&[]);
    let sub = home.subscribe(&server, &["--no-reconnect", "a"]);
    server.running.signal("TERM");
    server.running.done().expect(0, &["draining"]);
    sub.done().expect(3, &["shutting down"]);
}
