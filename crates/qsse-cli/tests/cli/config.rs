//! Settings, help and documents.

use crate::harness::Home;

#[test]
fn mistakes_are_refused_with_what_was_meant() {
    let home = Home::new();
    home.file("qsse.toml", "lisen = '127.0.0.1:0'\n");
    let config = ["--config", "qsse.toml"];
    home.run(&[&["serve"], &config[..]].concat()).expect(
        2,
        &["qsse.toml: unknown setting lisen: did you mean listen?"],
    );
    home.run(&["serve", "--config", "missing.toml"])
        .expect(2, &["missing.toml"]);
    home.run(&["serve", "--lisen", "x"])
        .expect(2, &["--listen"]);
    home.run(&["serve", "--listen", "4242"])
        .expect(2, &["IP:PORT"]);
    for shards in ["0", "65", "two"] {
        home.run(&["serve", "--shards", shards])
            .expect(2, &["--shards", "is no number from 1 to 64"]);
    }
    home.run(&["sub"]).expect(2, &["PATTERN"]);
    home.run(&["sub", "a", "--after", "x"])
        .expect(2, &["--after"]);
    home.run(&["sub", "ri*de"]).expect(2, &["byte 2"]);
    home.run(&["sub", "a", "-n", "0"]).expect(2, &["--count"]);
    home.run(&["pub", "a", "--key", "k"])
        .expect(2, &["--key: a key is for one event", "BODY or --file"]);
    home.run(&["pub", "--from-json", "--key", "k"])
        .expect(2, &["--key: a key is for one event"]);
    for key in [String::new(), "k".repeat(65)] {
        home.run(&["pub", "a", "x", "--key", &key])
            .expect(2, &["--key: a key of", "1 to 64"]);
    }
    home.run(&["pub", "ride.*", "x"]).expect(2, &["--matching"]);
    home.run(&["pub", "a..b", "x"]).expect(2, &["a..b"]);
    home.run(&["pub", "a", "--file", "missing"])
        .expect(2, &["cannot open missing"]);
    home.run(&["sub", "a", "--token-file", "missing"])
        .expect(2, &["cannot read the token file missing"]);
    home.run(&["sub", "a", "-s", "http://x"])
        .expect(2, &["--server", "qsse://x"]);
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_with_the_reason() {
    let home = Home::new();
    home.file("cert.pem", "nothing");
    let serve = |args: &[&str]| home.run(&[&["serve", "--listen", "127.0.0.1:0"], args].concat());
    serve(&["--cert", "cert.pem", "--key", "key.pem"])
        .expect(2, &["cannot read", "key.pem", "no such file"]);
    home.file("key.pem", "");
    serve(&["--cert", "cert.pem", "--key", "key.pem"]).expect(2, &["no certificate in cert.pem"]);
    serve(&["--key", "key.pem"]).expect(2, &["--key without --cert"]);
}

#[test]
fn check_config_tells_what_counts_and_why_but_no_secret() {
    let home = Home::new();
    home.file(
        "qsse.toml",
        "listen = '127.0.0.1:1'\nmetrics = '127.0.0.1:2'\n[limits]\nhistory = '1 MiB'\n",
    );
    let args = [
        "check-config",
        "--config",
        "qsse.toml",
        "--listen",
        "127.0.0.1:3",
    ];
    let mut command = home.command(&args);
    command
        .env("QSSE_TOKEN", "sesame")
        .env("QSSE_PORT", "tcp://x")
        .env("QSSE_METRICS", "");
    let done: crate::harness::Done = command.output().unwrap().into();
    done.expect(0, &[]);
    let line = |key: &str| {
        let found = done
            .out
            .lines()
            .find(|line| line.split_whitespace().next() == Some(key));
        found
            .unwrap_or_else(|| panic!("no {key}: {}", done.out))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("listen"), "listen 127.0.0.1:3 flag --listen");
    assert_eq!(line("metrics"), "metrics 127.0.0.1:2 file qsse.toml");
    assert_eq!(
        line("limits.history"),
        "limits.history 1 MiB file qsse.toml"
    );
    assert_eq!(line("token"), "token (hidden) environment QSSE_TOKEN");
    assert_eq!(line("topics"), "topics - default");
    assert!(!done.out.contains("sesame"), "{}", done.out);
}

#[test]
fn help_has_examples_and_statuses_and_goes_to_standard_output() {
    let home = Home::new();
    let help = home.run(&["--help"]);
    assert!(
        help.expect(0, &[]).out.contains("Exit status"),
        "{}",
        help.out
    );
    for command in [
        "serve",
        "sub",
        "pub",
        "ping",
        "cert",
        "check-config",
        "completions",
    ] {
        let help = home.run(&[command, "--help"]);
        assert!(
            help.expect(0, &[]).out.contains("Examples:"),
            "{}",
            help.out
        );
    }
    home.run(&[]).expect(2, &["qsse demo"]);
    for shell in ["bash", "zsh", "fish"] {
        let script = home.run(&["completions", shell]);
        assert!(
            script.expect(0, &[]).out.contains("check-config"),
            "{shell}"
        );
    }
}

#[test]
fn the_development_certificate_is_made_once_and_shown() {
    let home = Home::new();
    let first = home.run(&["cert"]);
    let fingerprint = first
        .expect(0, &[])
        .out
        .lines()
        .find(|line| line.starts_with("fingerprint"));
    let fingerprint = fingerprint.unwrap().to_owned();
    assert!(first.out.contains("valid until  20"), "{}", first.out);
    assert_eq!(home.run(&["cert"]).out, first.out);
    let file = home.run(&["cert", "--file", "state/dev-cert.pem"]);
    assert_eq!(file.expect(0, &[]).out.trim_end(), fingerprint);
    let server = home.serve(&[]);
    let seen = Home::new().run(&["cert", "--server", &server.address]);
    assert_eq!(seen.expect(0, &[]).out.trim_end(), fingerprint);
    home.file("none.pem", "");
    home.run(&["cert", "--file", "none.pem"])
        .expect(2, &["no certificate in none.pem"]);
}

#[test]
fn check_config_looks_at_the_files() {
    let (home, other) = (Home::new(), Home::new());
    for home in [&home, &other] {
        home.run(&["cert"]).expect(0, &[]);
    }
    let pem = std::fs::read(other.path().join("state/dev-cert.pem")).unwrap();
    home.file("other.pem", pem);
    home.file(
        "tokens.toml",
        "[[token]]\ntoken = 'sesame'\npublish = 'a'\n",
    );
    home.file(
        "good.toml",
        "[[token]]\ntoken = 'sesame'\npublish = ['a']\n",
    );
    home.file("file", "");
    let (cert, key) = ("--cert", "--key");
    let own = "state/dev-cert.pem";
    for (flags, parts) in [
        (&[cert, "no.pem", key, "no.key"][..], &["no.pem"][..]),
        (&[cert, own, key, "no.key"], &["no.key"]),
        (&[cert, own, key, "other.pem"], &["other.pem"]),
        (&[cert, "file"], &["no certificate in file"]),
        (&[key, own], &["--key without --cert"]),
        (&["--tokens", "no.toml"], &["no.toml"]),
        (&["--tokens", "tokens.toml"], &["tokens.toml: line 3"]),
        (&["--tokens", "good.toml", "--open"], &["contradict"]),
        (&["--store", "file"], &["cannot use file as a store"]),
        (&["--store", "file/store"], &["file"]),
        (&["--ca", "no.pem"], &["no.pem"]),
        (&["--ca", "file"], &["file"]),
        (&["--token-file", "no"], &["cannot read the token file no"]),
        (&["--token-file", "file"], &["the token file file is empty"]),
        // All at once.
        (&["--store", "file", "--ca", "no.pem"], &["file", "no.pem"]),
    ] {
        let done = home.run(&[&["check-config"], flags].concat());
        done.expect(2, parts);
        assert!(!done.err.contains("sesame"), "{done:?}");
        assert!(
            done.out.contains("listen"),
            "the settings are shown: {done:?}"
        );
    }
    let good = [cert, own, key, own, "--tokens", "good.toml"];
    let more = [
        "--store",
        "new/store",
        "--ca",
        own,
        "--token-file",
        "good.toml",
    ];
    home.run(&[&["check-config"], &good[..], &more].concat())
        .expect(0, &[]);
    home.run(&["check-config", cert, own]).expect(0, &[]);
    assert!(!home.path().join("new").exists(), "it makes nothing");
}
