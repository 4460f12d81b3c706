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
fn what_openssl_makes_is_trusted_by_its_file_and_a_wrong_file_is_named() {
    let home = Home::new();
    // What `openssl req -x509 -newkey ec -nodes -subj /CN=localhost -addext subjectAltName=…` makes.
    let mut params =
        rcgen::CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
            .unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = home.file("cert.pem", params.self_signed(&key).unwrap().pem());
    let key = home.file("key.pem", key.serialize_pem());
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let server = home.serve(&["--cert", cert, "--key", key]);
    let ping = |ca: &str| home.run(&["ping", "-n1", "-s", &server.address, "--ca", ca]);
    ping(cert).expect(0, &[]);
    ping(key).expect(2, &[key, "PRIVATE KEY", "give the file of the certificate"]);
    ping("/nowhere/ca.pem").expect(2, &["/nowhere/ca.pem", "no such file"]);
    let other = home.path().join("state/dev-cert.pem");
    home.run(&["cert"]).expect(0, &[]);
    let other = other.to_str().unwrap();
    ping(other).expect(4, &["neither in", other]);
}

#[test]
fn anybody_and_one_certificate_only_contradict_each_other() {
    let home = Home::new();
    let fingerprint = "00".repeat(32);
    let ping = |flags: &[&str]| home.run(&[&["ping", "-n1", "--insecure"], flags].concat());
    ping(&["--fingerprint", &fingerprint]).expect(2, &["insecure and fingerprint are both set"]);
    ping(&["--ca", "ca.pem"]).expect(2, &["insecure and ca are both set"]);
    let url = format!("qsse://127.0.0.1?fingerprint={fingerprint}");
    ping(&["-s", &url]).expect(2, &["one of the two"]);
}

#[test]
fn a_server_that_starts_with_a_new_development_certificate_is_trusted_while_being_tried() {
    let home = Home::new();
    home.run(&["cert"]).expect(0, &[]);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let args = ["sub", "a", "-s", &address, "--connect-timeout", "1m"];
    let mut sub = home.start(&args);
    // The attempt has begun; the server that answers it has a new certificate.
    silent.recv_from(&mut [0; 2048]).unwrap();
    std::fs::remove_file(home.path().join("state/dev-cert.pem")).unwrap();
    drop(silent);
    let _server = Server::start(&mut home.command(&["serve", "--listen", &address]));
    sub.error_line("subscribed to");
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
