//! Who may do what.

use std::net::{IpAddr, UdpSocket};

use crate::harness::{Home, Running};

const TOKENS: &str = r#"
[[token]]
token = "reader-sesame"
subscribe = ["ride.*"]

[[token]]
token = "writer-sesame"
publish = ["ride.*.start"]
"#;

#[test]
fn tokens_permit_what_their_patterns_contain() {
    let home = Home::new();
    home.file("tokens.toml", TOKENS);
    home.file("reader", "reader-sesame\n");
    let mut server = home.serve(&["--tokens", "tokens.toml"]);
    server
        .running
        .error_line("only those with one of the 2 tokens in tokens.toml");
    let at = ["-s", &server.address];
    let run = |args: &[&str]| home.run(&[args, &at].concat());

    run(&["sub", "ride.*"]).expect(5, &["token", "this server wants a token"]);
    run(&["sub", "--token", "guess", "ride.*"]).expect(5, &["does not know the token"]);
    run(&["sub", "--token", "reader-sesame", "*"]).expect(6, &["not authorised"]);
    run(&["pub", "--token", "writer-sesame", "ride.7.end", "x"]).expect(6, &["not authorised"]);
    run(&["pub", "--token", "reader-sesame", "ride.7.start", "x"]).expect(6, &["not authorised"]);
    run(&["sub", "--token", "writer-sesame", "ride.7.start"]).expect(6, &["not authorised"]);

    let sub = home.subscribe(
        &server,
        &["--token-file", "reader", "--raw", "-n1", "ride.*"],
    );
    run(&["pub", "--token", "writer-sesame", "ride.7.start", "go"]).expect(0, &[]);
    assert_eq!(sub.done().expect(0, &[]).out, "go\n");

    server.running.signal("TERM");
    let done = server.running.done();
    assert!(!format!("{done:?}").contains("sesame"), "{done:?}");
}

#[test]
fn a_file_of_tokens_that_gives_nothing_never_opens_the_server() {
    let home = Home::new();
    home.file("empty.toml", "");
    let serve = |args: &[&str]| home.run(&[&["serve", "--listen", "127.0.0.1:0"], args].concat());
    serve(&["--tokens", "empty.toml"]).expect(2, &["empty.toml", "nobody could connect"]);
    serve(&["--tokens", "missing.toml"]).expect(2, &["cannot read the tokens file missing.toml"]);
    serve(&["--tokens", "empty.toml", "--open"]).expect(2, &["--open", "--tokens", "contradict"]);
}

#[test]
fn a_topic_that_is_not_declared_is_refused() {
    let home = Home::new();
    let server = home.serve(&["--topics", "people,ride.*"]);
    let at = ["-s", &server.address];
    home.run(&[&["pub", "rides.7", "x"][..], &at].concat())
        .expect(6, &["topic not available"]);
    home.run(&[&["sub", "weather"][..], &at].concat())
        .expect(6, &["topic not available"]);
    home.run(&[&["pub", "ride.7", "x"][..], &at].concat())
        .expect(0, &[]);
}

#[test]
fn an_address_that_others_can_reach_needs_a_way_to_show_who_one_is_or_open() {
    let Some(own) = own_address() else {
        return; // Loopback is all there is.
    };
    let home = Home::new();
    let address = format!("{own}:0");
    let listen = ["serve", "--listen", &address];
    for closed in [&own.to_string(), "0.0.0.0", "[::]"] {
        let address = format!("{closed}:0");
        for command in ["serve", "check-config"] {
            let done = home.run(&[command, "--listen", &address]);
            done.expect(
                2,
                &["nothing says who may connect", "--tokens FILE", "--open"],
            );
        }
    }
    let args = [&listen, &["--open"][..]].concat();
    let mut server = crate::harness::Server::start(&mut home.command(&args));
    let line = server.running.error_line("from afar");
    let url = line.split('\'').nth(1).unwrap_or_default().to_owned();
    assert!(
        url.starts_with("qsse://") && url.contains("?fingerprint="),
        "{line}"
    );
    home.run(&["pub", "-s", &url, "a", "x"]).expect(0, &[]);
    let mut sub = home.start(&["sub", "-s", &url, "a"]);
    sub.error_line("subscribed to a");

    home.file("tokens.toml", TOKENS);
    let args = [&listen, &["--tokens", "tokens.toml"][..]].concat();
    crate::harness::Server::start(&mut home.command(&args));
}

/// An address of this machine that is not loopback. Nothing is sent to find it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}

#[test]
fn an_empty_variable_never_opens_the_server() {
    let home = Home::new();
    for variable in [
        "QSSE_TOKENS",
        "QSSE_TOPICS",
        "QSSE_CONFIG",
        "QSSE_STORE",
        "QSSE_JWT_KEY",
        "QSSE_JWT_JWKS",
        "QSSE_JWT_ISSUER",
        "QSSE_JWT_AUDIENCE",
        "QSSE_MTLS_CA",
        "QSSE_MTLS_CRL",
        "QSSE_AUTH_CALLBACK",
    ] {
        let mut command = home.command(&["serve", "--listen", "127.0.0.1:0"]);
        Running::start(command.env(variable, ""))
            .done()
            .expect(2, &[variable, "is empty"]);
    }
    let done = home.run(&["serve", "--listen", "127.0.0.1:0", "--tokens", ""]);
    done.expect(2, &["--tokens", "empty"]);
    let mut command = home.command(&["sub", "a"]);
    Running::start(command.env("QSSE_TOKEN", ""))
        .done()
        .expect(2, &["QSSE_TOKEN", "is empty"]);
}

#[test]
fn errors_of_the_tokens_file_show_no_token() {
    let home = Home::new();
    for text in [
        "[[token]]\ntoken = sesame\n",
        "[[token]]\ntoken = ['sesame']\n",
        "[[token]]\nsesame = 'x'\n",
        "token = 'sesame'\n",
        "[[token]]\ntoken = 'sesame'\npublish = ['a']\n[[token]]\ntoken = 'sesame'\npublish = ['b']\n",
    ] {
        home.file("tokens.toml", text);
        let done = home.run(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--tokens",
            "tokens.toml",
        ]);
        done.expect(2, &["the tokens file tokens.toml: "]);
        assert!(!done.err.contains("sesame"), "{done:?}");
    }
}
