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
