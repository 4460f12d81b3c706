//! JWTs, client certificates and the callback, and `token`.

use std::io::{Read, Write};
use std::net::TcpListener;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};

use crate::harness::Home;

#[test]
fn a_signed_jwt_is_accepted_for_what_it_grants_and_no_other() {
    let home = Home::new();
    let pair = KeyPair::generate().unwrap();
    home.file("private.pem", pair.serialize_pem());
    home.file("public.pem", pair.public_key_pem());
    let token = |args: &[&str]| {
        let new = [
            "token",
            "new",
            "--sign",
            "private.pem",
            "--subscribe",
            "ride.*",
        ];
        let done = home.run(&[&new[..], args].concat());
        done.expect(0, &[]);
        done.out.trim().to_owned()
    };
    let hub = ["--jwt-key", "public.pem", "--jwt-audience", "hub"];
    let mut server = home.serve(&hub);
    server.running.error_line("only those with a JWT");
    let at = ["-s", &server.address];
    let run = |args: &[&str]| home.run(&[args, &at].concat());

    let good = token(&[
        "--publish",
        "ride.7",
        "--jwt-audience",
        "hub",
        "--name",
        "ada",
    ]);
    run(&["pub", "--token", &good, "ride.7", "x"]).expect(0, &[]);
    run(&["pub", "--token", &good, "ride.8", "x"]).expect(6, &["not authorised"]);
    run(&["sub", "--token", &good, "*"]).expect(6, &["not authorised"]);
    let other = token(&["--jwt-audience", "shop"]);
    run(&["sub", "--token", &other, "ride.*"]).expect(5, &["not for this server"]);
    run(&["sub", "ride.*"]).expect(5, &["wants a token"]);

    let inspect = |token: &str, flags: &[&str]| {
        let args = [&["token", "inspect"], flags].concat();
        home.run_with(&args, token.as_bytes())
    };
    let done = inspect(&good, &hub);
    done.expect(0, &[]);
    assert!(done.out.contains("accepted     as ada"), "{}", done.out);
    assert!(!done.out.contains(good.rsplit('.').next().unwrap()));
    inspect(&other, &hub).expect(5, &["not for this server"]);
    let done = inspect(&good, &[]);
    done.expect(0, &[]);
    assert!(done.out.contains("not judged"), "{}", done.out);
}

#[test]
fn a_new_token_is_an_entry_that_a_server_accepts_as_it_is_or_hashed() {
    let home = Home::new();
    for hashed in [false, true] {
        let mut args = vec!["token", "new", "--name", "driver 7", "--publish", "a,b.*"];
        args.extend(hashed.then_some("--hashed"));
        let entry = home.run(&args).expect(0, &[]).out.clone();
        home.file("tokens.toml", &entry);
        let mark = if hashed { "file: " } else { "token = \"" };
        let token = entry.split(mark).nth(1).unwrap();
        let token = token.split(['"', '\n']).next().unwrap();
        assert_eq!(token.len(), 43, "{entry}");
        let done = home.run_with(
            &["token", "inspect", "--tokens", "tokens.toml"],
            token.as_bytes(),
        );
        let out = &done.expect(0, &[]).out;
        assert!(
            out.contains("as driver 7, may subscribe to nothing and publish on b.*, a"),
            "{out}"
        );
        let done = home.run_with(&["token", "hash"], token.as_bytes());
        let hash = done.expect(0, &[]).out.trim();
        assert_eq!(entry.contains(hash), hashed, "{entry}");
    }
    home.run(&["token", "new"])
        .expect(2, &["--subscribe or --publish"]);
    home.run_with(&["token", "hash"], b" \n")
        .expect(2, &["no token"]);
    home.run_with(&["token", "hash"], b"short")
        .expect(0, &["less than 16 bytes"]);
}

/// An authority, and certificates of it.
struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    fn new(home: &Home, file: &str) -> Self {
        let mut params = CertificateParams::new([] as [String; 0]).expect("a certificate");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, file);
        let key = KeyPair::generate().expect("a certificate");
        let own = params.self_signed(&key).expect("a certificate");
        home.file(file, own.pem());
        Self(Issuer::new(params, key))
    }

    /// Writes a certificate and its key into one file.
    fn certificate(&self, home: &Home, name: &str, serial: u64) {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a certificate");
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().expect("a certificate");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let both = format!("{}{}", certificate.pem(), key.serialize_pem());
        home.file(&format!("{name}.pem"), both);
    }

    fn revoke(&self, home: &Home, serial: u64) {
        let time = |year| rcgen::date_time_ymd(year, 1, 1);
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: time(2026),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: time(2026),
            next_update: time(2090),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        home.file(
            "crl.pem",
            list.signed_by(&self.0)
                .expect("a certificate")
                .pem()
                .expect("a certificate"),
        );
    }
}

#[test]
fn a_client_certificate_counts_if_its_authority_is_trusted_and_has_not_revoked_it() {
    let home = Home::new();
    let ours = Authority::new(&home, "ca.pem");
    ours.certificate(&home, "worker", 5);
    ours.certificate(&home, "revoked", 6);
    ours.certificate(&home, "unlisted", 7);
    ours.revoke(&home, 6);
    Authority::new(&home, "other.pem").certificate(&home, "stranger", 5);
    let entry = |name: &str| format!("[[certificate]]\nname = 'dns:{name}'\npublish = ['a']\n");
    let file = entry("worker") + &entry("revoked") + &entry("stranger");
    home.file("tokens.toml", file);
    let flags = [
        "--mtls-ca",
        "ca.pem",
        "--mtls-crl",
        "crl.pem",
        "--tokens",
        "tokens.toml",
    ];
    let server = home.serve(&flags);
    let publish = |cert: &[&str]| {
        let args = ["pub", "-s", &server.address, "a", "x"];
        home.run(&[&args, cert].concat())
    };
    publish(&["--client-cert", "worker.pem"]).expect(0, &[]);
    publish(&["--client-cert", "unlisted.pem"]).expect(5, &["does not know the certificate"]);
    publish(&[]).expect(5, &["wants a client certificate"]);
    for refused in ["revoked.pem", "stranger.pem"] {
        let done = publish(&["--client-cert", refused]);
        assert_ne!(done.status, Some(0), "{refused}: {done:?}");
    }

    let serve = |flags: &[&str]| home.run(&[&["serve", "--listen", "127.0.0.1:0"], flags].concat());
    serve(&["--mtls-ca", "ca.pem"]).expect(2, &["permits nothing", "[[certificate]]"]);
    serve(&["--tokens", "tokens.toml"]).expect(2, &["lists certificates", "--mtls-ca"]);
    serve(&["--mtls-crl", "crl.pem"]).expect(2, &["no effect without mtls_ca"]);
    serve(&["--jwt-audience", "hub"]).expect(2, &["no effect without jwt_key or jwt_jwks"]);
    serve(&["--auth-callback", "http://example.org/"]).expect(2, &["https://"]);
    serve(&["--open", "--mtls-ca", "ca.pem"]).expect(2, &["contradict"]);
}

#[test]
fn a_reload_takes_new_keys_and_revoked_certificates_or_nothing() {
    let home = Home::new();
    let ours = Authority::new(&home, "ca.pem");
    ours.certificate(&home, "worker", 5);
    ours.revoke(&home, 99);
    let entry = "[[certificate]]\nname = 'dns:worker'\npublish = ['a']\n";
    home.file("tokens.toml", entry);
    let token = |name: &str| {
        let pair = KeyPair::generate().unwrap();
        home.file("private.pem", pair.serialize_pem());
        let new = ["token", "new", "--sign", "private.pem", "--publish", "a"];
        let done = home.run(&[&new[..], &["--name", name]].concat());
        (
            done.expect(0, &[]).out.trim().to_owned(),
            pair.public_key_pem(),
        )
    };
    let ((older, older_key), (newer, newer_key)) = (token("older"), token("newer"));
    home.file("public.pem", &older_key);
    let socket = home.path().join("admin.sock").display().to_string();
    let server = home.serve(&[
        "--jwt-key",
        "public.pem",
        "--mtls-ca",
        "ca.pem",
        "--mtls-crl",
        "crl.pem",
        "--tokens",
        "tokens.toml",
        "--admin",
        &socket,
    ]);
    let publish = |who: &[&str]| {
        let args = ["pub", "-s", &server.address, "a", "x"];
        home.run(&[&args, who].concat())
    };
    let reload = || home.run(&["admin", "--admin", &socket, "reload"]);
    let with_token = |token: &str| publish(&["--token", token]);
    let worker = || publish(&["--client-cert", "worker.pem"]);
    let nothing_changed = || {
        with_token(&older).expect(0, &[]);
        with_token(&newer).expect(5, &[]);
        worker().expect(0, &[]);
    };
    nothing_changed();

    // The key would be right, but the list is not.
    home.file("public.pem", &newer_key);
    home.file("crl.pem", "broken");
    reload().expect(2, &["cannot ask clients for certificates"]);
    nothing_changed();
    // The other way round; the certificate's entry would go, too.
    home.file("public.pem", "broken");
    ours.revoke(&home, 99);
    home.file(
        "tokens.toml",
        "[[certificate]]\nname = 'dns:other'\npublish = ['a']\n",
    );
    reload().expect(2, &["public.pem"]);
    nothing_changed();

    home.file("public.pem", &newer_key);
    home.file("tokens.toml", entry);
    ours.revoke(&home, 5);
    let done = reload();
    assert!(done.expect(0, &[]).out.contains("jwt_key"), "{done:?}");
    with_token(&newer).expect(0, &[]);
    with_token(&older).expect(5, &[]);
    assert_ne!(worker().status, Some(0));
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_write_is_refused_and_a_secret_that_they_may_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;

    let home = Home::new();
    let ours = Authority::new(&home, "ca.pem");
    ours.certificate(&home, "localhost", 5);
    ours.revoke(&home, 6);
    let key = KeyPair::generate().unwrap();
    home.file("public.pem", key.public_key_pem());
    home.file("secret", "0123456789abcdef0123456789abcdef");
    home.file(
        "tokens.toml",
        "[[token]]\ntoken = '0123456789abcdef'\npublish = ['a']\n\
         [[certificate]]\nname = '*'\npublish = ['a']\n",
    );
    home.file("admin.token", "0123456789abcdef");
    let jwks = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    home.file("jwks.json", jwks);
    let secrets = r#"{"keys": [{"kty": "oct",
        "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}"#;
    home.file("secrets.json", secrets);
    let set = |name: &str, mode: u32| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(home.path().join(name), mode).unwrap();
    };
    let both = ["--cert", "localhost.pem", "--key", "localhost.pem"];
    let mtls = ["--tokens", "tokens.toml", "--mtls-ca", "ca.pem"];
    let with_crl = [&mtls[..], &["--mtls-crl", "crl.pem"]].concat();
    let admin = [
        "--admin",
        "127.0.0.1:0",
        "--admin-token-file",
        "admin.token",
    ];
    for (file, is_secret, flags) in [
        ("localhost.pem", true, &both[..]),
        ("tokens.toml", true, &mtls[..]),
        ("ca.pem", false, &mtls[..]),
        ("crl.pem", false, &with_crl[..]),
        ("public.pem", false, &["--jwt-key", "public.pem"]),
        ("secret", true, &["--jwt-key", "secret"]),
        ("jwks.json", false, &["--jwt-jwks", "jwks.json"]),
        ("secrets.json", true, &["--jwt-jwks", "secrets.json"]),
        ("admin.token", true, &admin[..]),
    ] {
        set(file, 0o602);
        let args = [&["serve", "--listen", "127.0.0.1:0"], flags].concat();
        home.run(&args).expect(2, &[file, "other users may write"]);
        let mut warned = [false; 2];
        for (warned, mode) in warned.iter_mut().zip([0o600, 0o604]) {
            set(file, mode);
            let server = home.serve(flags);
            server.running.signal("TERM");
            let err = server.running.done().err;
            let text = format!("other users may read {file}");
            *warned = err.contains(&text);
        }
        assert_eq!(warned, [false, is_secret], "{file}");
        set(file, 0o600);
    }
}

#[test]
fn a_callback_is_asked_and_without_it_nobody_gets_in() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/auth", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut text = String::new();
            let mut request = [0; 4096];
            while !text.ends_with('}') {
                match stream.read(&mut request) {
                    Ok(read @ 1..) => text += &String::from_utf8_lossy(&request[..read]),
                    _ => break,
                }
            }
            let (status, body) = match text.contains("sesame") {
                true => (200, r#"{"principal": "ada", "publish": ["a"]}"#),
                false => (403, ""),
            };
            let len = body.len();
            let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: {len}\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let server = home.serve(&["--auth-callback", &url]);
    let publish = |token: &str, topic: &str| {
        home.run(&["pub", "-s", &server.address, "--token", token, topic, "x"])
    };
    publish("sesame", "a").expect(0, &[]);
    publish("sesame", "b").expect(6, &["not authorised"]);
    publish("other", "a").expect(5, &["does not know the token"]);
}
