//! A corpus of bad JWTs. Each has a name, and each must be refused by the server that it is for.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::KeyPair;
use qsse_auth::Jwt;
use serde_json::{Value, json};

use crate::forge::{Keys, b64, with_secret};
use crate::{ask, good, jwt, now};

/// The algorithms of the servers that have one key each.
const SERVERS: [&str; 6] = ["HS256", "RS256", "PS256", "ES256", "ES384", "EdDSA"];

/// The bad tokens: the server, the name, the token.
struct Corpus {
    ours: Keys,
    stranger: Keys,
    cases: Vec<(&'static str, String, String)>,
}

impl Corpus {
    fn new() -> Self {
        let mut corpus = Self {
            ours: Keys::new(1),
            stranger: Keys::new(2),
            cases: Vec::new(),
        };
        corpus.without_signature();
        corpus.confused();
        corpus.other_algorithms();
        corpus.key_ids();
        corpus.headers();
        corpus.embedded_keys();
        corpus.forms();
        corpus.signatures();
        corpus.payloads();
        corpus.times();
        corpus.parties();
        corpus.names();
        corpus.grants();
        corpus.other_keys();
        corpus
    }

    fn add(&mut self, server: &'static str, name: impl Into<String>, token: impl Into<String>) {
        self.cases.push((server, name.into(), token.into()));
    }

    /// Adds a token that is good except for its header.
    fn header(&mut self, name: &str, header: &Value) {
        let token = self.ours.token_with("RS256", header, &good());
        self.add("RS256", format!("header: {name}"), token);
    }

    /// Adds a token that is good except for one claim.
    fn claim(&mut self, name: &str, claim: &str, value: Value) {
        let mut claims = good();
        claims[claim] = value;
        self.claims(&format!("{claim}: {name}"), &claims);
    }

    /// Adds a token that is good except for a claim that is missing.
    fn missing(&mut self, claim: &str) {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(claim);
        self.claims(&format!("{claim}: missing"), &claims);
    }

    fn claims(&mut self, name: &str, claims: &Value) {
        let token = self.ours.token("ES256", claims);
        self.add("ES256", name, token);
    }

    fn without_signature(&mut self) {
        for server in SERVERS {
            for alg in ["none", "None", "NONE", "nOnE", ""] {
                let header = json!({"alg": alg, "typ": "JWT"}).to_string();
                let message = format!(
                    "{}.{}",
                    b64(header.as_bytes()),
                    b64(good().to_string().as_bytes())
                );
                self.add(
                    server,
                    format!("alg {alg:?} without signature"),
                    format!("{message}."),
                );
                let signed = self.ours.signature(server, message.as_bytes());
                let token = format!("{message}.{}", b64(&signed));
                self.add(
                    server,
                    format!("alg {alg:?} with the signature of the key"),
                    token,
                );
            }
        }
    }

    /// What everybody knows, used as a secret.
    fn confused(&mut self) {
        let rsa = &self.ours.rsa;
        let spki: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
        let mut public: Vec<(&'static str, String, Vec<u8>)> = vec![
            (
                "RS256",
                "PKCS#1 DER".into(),
                rsa.public_key().as_ref().to_vec(),
            ),
            ("RS256", "SPKI DER".into(), spki.as_ref().to_vec()),
            (
                "RS256",
                "modulus".into(),
                self.ours.rsa_numbers().0.to_vec(),
            ),
            (
                "ES256",
                "point".into(),
                self.ours.p256.public_key().as_ref().to_vec(),
            ),
            (
                "ES384",
                "point".into(),
                self.ours.p384.public_key().as_ref().to_vec(),
            ),
            (
                "EdDSA",
                "raw key".into(),
                self.ours.ed.public_key().as_ref().to_vec(),
            ),
        ];
        for ((name, pem), server) in self
            .ours
            .pems()
            .into_iter()
            .zip(["RS256", "ES256", "ES384", "EdDSA"])
        {
            public.push((server, format!("{name} PEM"), pem.clone().into_bytes()));
            public.push((
                server,
                format!("{name} PEM, trimmed"),
                pem.trim().as_bytes().to_vec(),
            ));
        }
        for server in ["RS256", "ES256", "EdDSA"] {
            public.push((
                server,
                "JWK".into(),
                self.ours.jwk(server).to_string().into_bytes(),
            ));
        }
        for (server, name, secret) in public {
            for alg in ["HS256", "HS512"] {
                let token = with_secret(alg, &secret, &json!({"alg": alg}), &good());
                self.add(
                    server,
                    format!("{alg} with the public key as secret: {name}"),
                    token,
                );
            }
        }
        let weak = [
            "",
            "secret",
            "password",
            "changeme",
            "your-256-bit-secret",
            "\0",
        ];
        for secret in weak {
            let token = with_secret(
                "HS256",
                secret.as_bytes(),
                &json!({"alg": "HS256"}),
                &good(),
            );
            self.add("HS256", format!("the usual secret {secret:?}"), token);
        }
    }

    fn other_algorithms(&mut self) {
        for (server, algs) in [
            ("HS256", &["HS384", "HS512"][..]),
            ("RS256", &["RS384", "RS512", "PS256", "PS384"]),
            ("PS256", &["PS384", "PS512", "RS256"]),
        ] {
            for alg in algs {
                let token = self.ours.token(alg, &good());
                self.add(server, format!("{alg} with the key of {server}"), token);
            }
        }
        for alg in ["HS256", "PS256", "RS384", "ES256", "EdDSA"] {
            let token = self.ours.token_with("RS256", &json!({"alg": alg}), &good());
            self.add("RS256", format!("says {alg}, is signed with RS256"), token);
        }
        for (name, alg) in [
            ("lower case", json!("rs256")),
            ("space before", json!(" RS256")),
            ("space after", json!("RS256 ")),
            ("NUL after", json!("RS256\0")),
            ("a list", json!(["RS256"])),
            ("a number", json!(256)),
            ("null", Value::Null),
            ("an object", json!({"name": "RS256"})),
            ("true", json!(true)),
            ("unknown", json!("RS257")),
            ("ES512", json!("ES512")),
            ("ES256K", json!("ES256K")),
            ("a letter that looks alike", json!("\u{420}S256")),
        ] {
            self.header(&format!("alg is {name}"), &json!({"alg": alg}));
        }
        self.header("no alg", &json!({"typ": "JWT"}));
    }

    fn key_ids(&mut self) {
        let long = "k".repeat(257);
        let longer = "k".repeat(2000);
        for (name, id) in [
            ("unknown", "3"),
            ("a path to nothing", "../../../../../../dev/null"),
            ("an absolute path", "/dev/null"),
            (
                "a path to a known file",
                "/proc/sys/kernel/randomize_va_space",
            ),
            ("SQL", "x' UNION SELECT 'secret'; --"),
            ("SQL that is always true", "' OR '1'='1"),
            ("a command", "1|/usr/bin/id"),
            ("a substitution", "$(id)"),
            ("a URL", "https://evil.example.org/key"),
            ("a template", "{{7*7}}"),
            ("LDAP", "*)(uid=*"),
            ("with a line end", "1\n"),
            ("with NUL", "1\0"),
            ("with a space", " 1"),
            ("that of an object's prototype", "__proto__"),
            ("long", &long),
            ("longer", &longer),
            ("empty", ""),
        ] {
            for (secret, with) in [(&b""[..], "an empty secret"), (b"secret", "a known secret")] {
                let header = json!({"alg": "HS256", "kid": id});
                let token = with_secret("HS256", secret, &header, &good());
                self.add("set", format!("kid is {name}, signed with {with}"), token);
            }
            let header = json!({"alg": "RS256", "kid": id});
            let token = self.ours.token_with("RS256", &header, &good());
            self.add(
                "set",
                format!("kid is {name}, signed with a key of another id"),
                token,
            );
        }
        for (name, id) in [
            ("a number", json!(1)),
            ("a list", json!(["1"])),
            ("an object", json!({"$ne": null})),
            ("true", json!(true)),
        ] {
            let header = json!({"alg": "RS256", "kid": id});
            let token = self.ours.token_with("RS256", &header, &good());
            self.add("set", format!("kid is {name}"), token);
        }
        let header = json!({"alg": "RS256", "kid": "2"});
        let token = self.ours.token_with("RS256", &header, &good());
        self.add("set", "kid is that of a key of another kind", token);
    }

    fn headers(&mut self) {
        for (name, key, value) in [
            ("crit is empty", "crit", json!([])),
            ("crit with a known claim", "crit", json!(["exp"])),
            (
                "crit with an unknown extension",
                "crit",
                json!(["https://example.org/x"]),
            ),
            ("crit is a text", "crit", json!("exp")),
            ("crit is a number", "crit", json!(1)),
            ("b64 is false", "b64", json!(false)),
            ("b64 is true", "b64", json!(true)),
            ("compressed", "zip", json!("DEF")),
            ("encrypted", "enc", json!("A128GCM")),
            ("an event token", "typ", json!("secevent+jwt")),
            ("a proof", "typ", json!("dpop+jwt")),
            ("a logout token", "typ", json!("logout+jwt")),
            ("an encrypted token", "typ", json!("JWE")),
            ("typ is a number", "typ", json!(1)),
            ("typ is a list", "typ", json!(["JWT"])),
            ("typ is empty", "typ", json!("")),
        ] {
            let mut header = json!({"alg": "RS256"});
            header[key] = value;
            self.header(name, &header);
        }
        let header = json!({"alg": "RS256", "b64": false, "crit": ["b64"]});
        self.header("b64 is false, as crit says", &header);
        let deep = format!(
            "{{\"alg\":\"RS256\",\"x\":{}1{}}}",
            "[".repeat(300),
            "]".repeat(300)
        );
        for (name, header) in [
            ("empty", &b""[..]),
            ("not JSON", b"alg=RS256"),
            ("a list", b"[\"RS256\"]"),
            ("a text", b"\"RS256\""),
            ("a number", b"1"),
            ("null", b"null"),
            ("cut off", b"{\"alg\":\"RS256\""),
            ("alg twice", b"{\"alg\":\"RS256\",\"alg\":\"RS256\"}"),
            (
                "alg twice, first none",
                b"{\"alg\":\"none\",\"alg\":\"RS256\"}",
            ),
            (
                "alg twice, one escaped",
                b"{\"alg\":\"RS256\",\"\\u0061lg\":\"none\"}",
            ),
            (
                "kid twice",
                b"{\"alg\":\"RS256\",\"kid\":\"1\",\"kid\":\"2\"}",
            ),
            ("something after it", b"{\"alg\":\"RS256\"}x"),
            ("two objects", b"{\"alg\":\"RS256\"}{\"alg\":\"none\"}"),
            ("a byte order mark", b"\xef\xbb\xbf{\"alg\":\"RS256\"}"),
            ("not UTF-8", b"{\"alg\":\"RS256\",\"x\":\"\xff\"}"),
            ("UTF-16", b"{\0\"\0a\0l\0g\0"),
            ("single quotes", b"{'alg':'RS256'}"),
            ("a comment", b"{\"alg\":\"RS256\"/* */}"),
            ("a comma too many", b"{\"alg\":\"RS256\",}"),
            ("NaN", b"{\"alg\":\"RS256\",\"x\":NaN}"),
            ("deep", deep.as_bytes()),
        ] {
            let token = self
                .ours
                .raw("RS256", header, good().to_string().as_bytes());
            self.add("RS256", format!("header: {name}"), token);
        }
    }

    /// Tokens that bring their own key, or say where it is.
    fn embedded_keys(&mut self) {
        for alg in SERVERS {
            let jwk = self.stranger.jwk(alg);
            let token = self
                .stranger
                .token_with(alg, &json!({"alg": alg, "jwk": jwk}), &good());
            self.add(alg, "a key in the header", token);
        }
        let jwk = self.ours.jwk("RS256");
        let header = json!({"alg": "RS256", "jwk": jwk});
        let token = self.stranger.token_with("RS256", &header, &good());
        self.add(
            "RS256",
            "our key in the header, a stranger's signature",
            token,
        );
        let pem = &self.stranger.pems()[0].1;
        for (name, header) in [
            (
                "jku",
                json!({"alg": "RS256", "jku": "https://evil.example.org/jwks"}),
            ),
            (
                "jku of this machine",
                json!({"alg": "RS256", "jku": "http://127.0.0.1/jwks"}),
            ),
            (
                "jku of a file",
                json!({"alg": "RS256", "jku": "file:///etc/passwd"}),
            ),
            (
                "jku with a name before it",
                json!({"alg": "RS256", "jku": "https://id.example.org@evil.example.org"}),
            ),
            (
                "x5u",
                json!({"alg": "RS256", "x5u": "https://evil.example.org/cert"}),
            ),
            ("x5c", json!({"alg": "RS256", "x5c": [pem]})),
            ("x5t", json!({"alg": "RS256", "x5t": "AAAA"})),
            ("x5t#S256", json!({"alg": "RS256", "x5t#S256": "AAAA"})),
        ] {
            let token = self.stranger.token_with("RS256", &header, &good());
            self.add("RS256", format!("{name} of a stranger"), token);
        }
    }

    fn forms(&mut self) {
        let token = self.ours.token("ES256", &good());
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            unreachable!("it has three parts")
        };
        let padded = |text: &str| format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4 + 4));
        let json_form = json!({"payload": claims, "protected": header, "signature": signature});
        let middle = token.len() / 2;
        for (name, bad) in [
            ("empty", String::new()),
            ("a dot", ".".into()),
            ("two dots", "..".into()),
            ("three dots", "...".into()),
            ("a hundred dots", ".".repeat(100)),
            ("one part", header.into()),
            ("two parts", format!("{header}.{claims}")),
            ("two parts and a dot", format!("{header}.{claims}.")),
            ("no header", format!(".{claims}.{signature}")),
            ("no claims", format!("{header}..{signature}")),
            ("four parts", format!("{token}.{signature}")),
            (
                "five parts",
                format!("{header}.{claims}.{signature}.{claims}.{signature}"),
            ),
            ("a dot before", format!(".{token}")),
            ("a dot after", format!("{token}.")),
            ("a space before", format!(" {token}")),
            ("a space after", format!("{token} ")),
            ("a line end after", format!("{token}\n")),
            ("NUL after", format!("{token}\0")),
            (
                "a space inside",
                format!("{} {}", &token[..middle], &token[middle..]),
            ),
            (
                "a line end inside",
                format!("{}\n{}", &token[..middle], &token[middle..]),
            ),
            ("Bearer before", format!("Bearer {token}")),
            ("quotes around", format!("\"{token}\"")),
            (
                "padded header",
                format!("{}.{claims}.{signature}", padded(header)),
            ),
            (
                "padded claims",
                format!("{header}.{}.{signature}", padded(claims)),
            ),
            (
                "padded signature",
                format!("{header}.{claims}.{signature}=="),
            ),
            ("escaped dots", token.replace('.', "%2E")),
            ("wide dots", token.replace('.', "\u{3002}")),
            ("lower case", token.to_lowercase()),
            ("upper case", token.to_uppercase()),
            ("reversed", token.chars().rev().collect()),
            ("base64 of all", b64(token.as_bytes())),
            ("twice", format!("{token}{token}")),
            ("JSON form", json_form.to_string()),
            (
                "header for claims",
                format!("{claims}.{header}.{signature}"),
            ),
            (
                "claims for header",
                format!("{claims}.{claims}.{signature}"),
            ),
            ("not base64", format!("{header}.!!!.{signature}")),
            ("emoji", "\u{1f511}.\u{1f511}.\u{1f511}".into()),
            (
                "other writing",
                format!("{header}.{claims}.\u{456}{signature}"),
            ),
            ("right to left", format!("\u{202e}{token}")),
            ("8 KiB of letters", "A".repeat(8192)),
            (
                "1 MiB of letters in three parts",
                format!("{0}.{0}.{0}", "A".repeat(350_000)),
            ),
            ("path", "../../etc/passwd".into()),
        ] {
            self.add("ES256", format!("form: {name}"), bad);
        }
        let mut big = good();
        big["sub"] = json!("ada");
        big["padding"] = json!("x".repeat(5000));
        let token = self.ours.token("ES256", &big);
        self.add(
            "ES256",
            "form: signed, but longer than a client can send",
            token,
        );
    }

    fn signatures(&mut self) {
        for server in SERVERS {
            let token = self.ours.token(server, &good());
            let (message, signature) = token.rsplit_once('.').unwrap();
            let bytes = self.ours.signature(server, message.as_bytes());
            let with = |bytes: &[u8]| format!("{message}.{}", b64(bytes));
            let flipped = |at: usize| {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1;
                with(&bytes)
            };
            let (last, half) = (bytes.len() - 1, bytes.len() / 2);
            let bad = [
                ("the first bit is wrong", flipped(0)),
                ("a bit in the middle is wrong", flipped(half)),
                ("the last bit is wrong", flipped(last)),
                ("zeros", with(&vec![0; bytes.len()])),
                ("all bits set", with(&vec![0xff; bytes.len()])),
                ("empty", format!("{message}.")),
                ("a byte short", with(&bytes[..last])),
                ("half", with(&bytes[..half])),
                ("a byte long", with(&[&bytes[..], &[0]].concat())),
                ("a zero before", with(&[&[0], &bytes[..]].concat())),
                (
                    "a character short",
                    format!("{message}.{}", &signature[..signature.len() - 1]),
                ),
                ("of other claims", {
                    let mut other = good();
                    other["sub"] = "eve".into();
                    let other = self.ours.token(server, &other);
                    format!("{message}.{}", other.rsplit_once('.').unwrap().1)
                }),
            ];
            for (name, token) in bad {
                self.add(server, format!("signature: {name}"), token);
            }
            let changed = b64(good().to_string().replace("ada", "eve").as_bytes());
            let header = message.split_once('.').unwrap().0;
            let token = format!("{header}.{changed}.{signature}");
            self.add(
                server,
                "signature: of the token before the name was changed",
                token,
            );
        }
        // 32 bytes have 4 spare bits in base64, which must be zero.
        let token = self.ours.token("HS256", &good());
        let last = token.chars().last().unwrap();
        let spare = ('A'..='Z').chain('a'..='z').chain('0'..='9').find(|c| {
            let number = |c: char| match c {
                'A'..='Z' => c as u32 - 65,
                'a'..='z' => c as u32 - 71,
                _ => c as u32 + 4,
            };
            *c != last && last.is_ascii_alphanumeric() && number(*c) == number(last) + 1
        });
        let mut bad = token[..token.len() - 1].to_owned();
        bad.push(spare.unwrap());
        self.add("HS256", "signature: spare bits of base64 are set", bad);
        let message = token.rsplit_once('.').unwrap().0;
        let der = [0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01];
        self.add(
            "ES256",
            "signature: DER",
            format!("{message}.{}", b64(&der)),
        );
        let ones: Vec<u8> = [[0; 31].as_slice(), &[1], &[0; 31], &[1]].concat();
        self.add(
            "ES256",
            "signature: r and s are one",
            format!("{message}.{}", b64(&ones)),
        );
    }

    fn payloads(&mut self) {
        let good = good().to_string();
        let open = &good[..good.len() - 1];
        let deep = format!("{open},\"x\":{}1{}}}", "[".repeat(300), "]".repeat(300));
        for (name, claims) in [
            ("empty", Vec::new()),
            ("a list", b"[]".to_vec()),
            ("a text", b"\"ada\"".to_vec()),
            ("a number", b"1".to_vec()),
            ("null", b"null".to_vec()),
            ("true", b"true".to_vec()),
            ("an empty object", b"{}".to_vec()),
            ("a list around it", format!("[{good}]").into_bytes()),
            ("cut off", open.as_bytes().to_vec()),
            ("something after it", format!("{good}x").into_bytes()),
            ("twice", format!("{good}{good}").into_bytes()),
            (
                "exp twice",
                format!("{open},\"exp\":99999999999}}").into_bytes(),
            ),
            (
                "sub twice",
                format!("{open},\"sub\":\"eve\"}}").into_bytes(),
            ),
            (
                "aud twice",
                format!("{open},\"aud\":\"hub\"}}").into_bytes(),
            ),
            (
                "qsse twice",
                format!("{open},\"qsse\":{{\"publish\":[\"*\"]}}}}").into_bytes(),
            ),
            (
                "an unknown key twice",
                format!("{open},\"x\":1,\"x\":2}}").into_bytes(),
            ),
            (
                "a key twice deep inside",
                format!("{open},\"x\":[{{\"y\":1,\"y\":2}}]}}").into_bytes(),
            ),
            ("not UTF-8", [open.as_bytes(), b",\"x\":\"\xff\"}"].concat()),
            (
                "half a surrogate",
                format!("{open},\"x\":\"\\ud800\"}}").into_bytes(),
            ),
            (
                "a byte order mark",
                [b"\xef\xbb\xbf", good.as_bytes()].concat(),
            ),
            ("deep", deep.into_bytes()),
            ("a JWT inside", b"eyJhbGciOiJub25lIn0.e30.".to_vec()),
            (
                "a number too large",
                format!("{open},\"x\":1e999}}").into_bytes(),
            ),
        ] {
            let token = self.ours.raw("ES256", b"{\"alg\":\"ES256\"}", &claims);
            self.add("ES256", format!("claims: {name}"), token);
        }
    }

    fn times(&mut self) {
        let now = now();
        self.missing("exp");
        for (name, value) in [
            ("an hour ago", json!(now - 3600)),
            ("before the leeway", json!(now - 31)),
            ("1970", json!(0)),
            ("negative", json!(-1)),
            ("the largest number, negative", json!(i64::MIN)),
            ("a text", json!((now + 3600).to_string())),
            ("a date", json!("2099-01-01T00:00:00Z")),
            ("null", Value::Null),
            ("true", json!(true)),
            ("a list", json!([now + 3600])),
            ("an object", json!({"$gt": 0})),
            ("in milliseconds", json!((now + 3600) * 1000)),
            ("too large", json!(1e300)),
            ("the largest number", json!(u64::MAX)),
            ("never", json!("never")),
        ] {
            self.claim(name, "exp", value);
        }
        for claim in ["nbf", "iat"] {
            for (name, value) in [
                ("in an hour", json!(now + 3600)),
                ("tomorrow", json!(now + 86_400)),
                ("after the leeway", json!(now + 600)),
                ("in milliseconds", json!(now * 1000)),
                ("negative", json!(-1)),
                ("a text", json!(now.to_string())),
                ("null", Value::Null),
                ("a list", json!([now])),
                ("false", json!(false)),
            ] {
                self.claim(name, claim, value);
            }
        }
    }

    fn parties(&mut self) {
        self.missing("iss");
        self.missing("aud");
        for (name, value) in [
            ("another", json!("https://evil.example.org")),
            ("with a slash", json!("https://id.example.org/")),
            ("in upper case", json!("HTTPS://ID.EXAMPLE.ORG")),
            ("the beginning", json!("https://id.example")),
            ("longer", json!("https://id.example.org.evil.example.org")),
            ("without its scheme", json!("id.example.org")),
            ("with NUL", json!("https://id.example.org\0")),
            ("a list", json!(["https://id.example.org"])),
            ("a number", json!(1)),
            ("null", Value::Null),
            ("empty", json!("")),
        ] {
            self.claim(name, "iss", value);
        }
        for (name, value) in [
            ("another", json!("shop")),
            ("in upper case", json!("HUB")),
            ("longer", json!("hub2")),
            ("with a space", json!("hub ")),
            ("two in one text", json!("hub shop")),
            ("any", json!("*")),
            ("empty", json!("")),
            ("an empty list", json!([])),
            ("a list without it", json!(["shop", "bank"])),
            ("a list with a number", json!(["hub", 1])),
            ("a list in a list", json!([["hub"]])),
            ("a number", json!(1)),
            ("null", Value::Null),
            ("true", json!(true)),
            ("an object", json!({"hub": true})),
        ] {
            self.claim(name, "aud", value);
        }
        let token = self.ours.token("EdDSA", &good());
        self.add(
            "no audience",
            "aud: of another server, and this one has no name",
            token,
        );
    }

    fn names(&mut self) {
        let long = "a".repeat(257);
        for claim in ["sub", "jti"] {
            for (name, value) in [
                ("a number", json!(1)),
                ("null", Value::Null),
                ("a list", json!(["ada"])),
                ("an object", json!({"name": "ada"})),
                ("true", json!(true)),
                ("empty", json!("")),
                ("long", json!(long)),
                ("with a line end", json!("ada\nadmin logged in")),
                ("with NUL", json!("ada\0")),
                ("with an escape", json!("\u{1b}[31mada")),
            ] {
                self.claim(name, claim, value);
            }
        }
    }

    fn grants(&mut self) {
        self.missing("qsse");
        let long = "a".repeat(256);
        let limits = |limits: Value| json!({"subscribe": ["a"], "limits": limits});
        for (name, value) in [
            ("null", Value::Null),
            ("a text", json!("*")),
            ("a list", json!(["*"])),
            ("a list of the values", json!([["*"], ["*"]])),
            ("true", json!(true)),
            ("a number", json!(1)),
            ("empty", json!({})),
            ("empty lists", json!({"subscribe": [], "publish": []})),
            ("subscribe is a text", json!({"subscribe": "ride.*"})),
            ("subscribe is null", json!({"subscribe": null})),
            ("subscribe is true", json!({"subscribe": true})),
            ("subscribe has a number", json!({"subscribe": [1]})),
            ("subscribe has a list", json!({"subscribe": [["*"]]})),
            ("publish is an object", json!({"publish": {"allow": ["*"]}})),
            ("an empty pattern", json!({"subscribe": [""]})),
            ("an empty segment", json!({"subscribe": ["a..b"]})),
            ("a wildcard in a segment", json!({"subscribe": ["ri*"]})),
            ("a control character", json!({"subscribe": ["a\nb"]})),
            ("a long pattern", json!({"subscribe": [long]})),
            ("one good, one bad", json!({"subscribe": ["a", "a..b"]})),
            ("a key of another letter case", json!({"Subscribe": ["*"]})),
            (
                "a misspelt key",
                json!({"subscribe": ["a"], "publsh": ["a"]}),
            ),
            ("an unknown key", json!({"subscribe": ["a"], "admin": true})),
            ("limits is a text", limits(json!("none"))),
            ("limits is a list", limits(json!([1]))),
            ("an unknown limit", limits(json!({"connection": 1}))),
            ("a limit is negative", limits(json!({"connections": -1}))),
            ("a limit is a fraction", limits(json!({"connections": 1.5}))),
            (
                "a limit is too large",
                limits(json!({"connections": u64::MAX})),
            ),
            ("a limit is a text", limits(json!({"connections": "1"}))),
            (
                "namespace is a pattern",
                json!({"subscribe": ["a"], "namespace": "a.*"}),
            ),
            (
                "namespace is empty",
                json!({"subscribe": ["a"], "namespace": ""}),
            ),
            (
                "namespace is a number",
                json!({"subscribe": ["a"], "namespace": 1}),
            ),
        ] {
            self.claim(name, "qsse", value);
        }
    }

    /// Good tokens, for others, or of others.
    fn other_keys(&mut self) {
        for server in SERVERS {
            let token = self.stranger.token(server, &good());
            self.add(server, "signed by a stranger", token.clone());
            self.add("set", format!("{server} signed by a stranger"), token);
            for other in SERVERS {
                if other != server {
                    let token = self.ours.token(other, &good());
                    self.add(server, format!("signed with our key of {other}"), token);
                }
            }
        }
    }

    fn servers(&self) -> BTreeMap<&'static str, Jwt> {
        let one = |server: &'static str| (server, jwt(&[self.ours.jwk(server)]));
        let mut servers: BTreeMap<_, _> = SERVERS.into_iter().map(one).collect();
        let named = |algorithm: &str, id: &str| {
            let mut jwk = self.ours.jwk(algorithm);
            jwk["kid"] = id.into();
            jwk
        };
        servers.insert("set", jwt(&[named("RS256", "1"), named("ES256", "2")]));
        let nameless = jwt(&[self.ours.jwk("EdDSA")]).audiences([] as [&str; 0]);
        servers.insert("no audience", nameless);
        servers
    }
}

#[tokio::test]
async fn each_bad_token_of_the_corpus_is_refused_by_name() {
    let corpus = Corpus::new();
    let servers = corpus.servers();
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    for (server, name, token) in &corpus.cases {
        assert!(
            names.insert((server, name)),
            "{server}: {name} is there twice"
        );
        match ask(&servers[server], token).await {
            Ok(_) => wrong.push(format!("{server}: {name}: accepted")),
            // The client and logs get the reason.
            Err(reason) if token.len() > 40 && reason.contains(token) => {
                wrong.push(format!("{server}: {name}: {reason}"));
            }
            Err(_) => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(names.len() >= 200, "only {}", names.len());
    println!("{} bad tokens refused", names.len());
    // The servers accept good ones.
    for server in SERVERS {
        let token = corpus.ours.token(server, &good());
        ask(&servers[server], &token).await.unwrap();
    }
}
