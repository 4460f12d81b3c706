//! What a tokens file grants, and the errors in one.

use std::time::{Duration, UNIX_EPOCH};

use qsse_server::Action;
use qsse_topic::Pattern;

use super::*;

const FILE: &str = r#"
    [[token]]
    token = "reader"
    subscribe = ["ride.*", "people"]

    [[token]]
    name = "writer 1"
    # Of the token "writer".
    hash = "sha256:b93d7d17ec9d5f96f9ba9aad0f72c5ad8ab8eb20b8ba5cb7d26ecd3b95d61ae2"
    publish = ["ride.*.start"]
    expires = "1970-01-01T00:16:40Z"
    namespace = "tenant7"
    limits = { connections = 4, bytes_per_second = 1000 }
"#;

fn tokens() -> Tokens {
    let hash = |token: &str| -> String {
        let digest = digest(token);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let written = "b93d7d17ec9d5f96f9ba9aad0f72c5ad8ab8eb20b8ba5cb7d26ecd3b95d61ae2";
    Tokens::parse(&FILE.replace(written, &hash("writer"))).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn a_token_may_do_what_its_patterns_contain_and_no_more() {
    let tokens = tokens();
    let allows = |token, action, pattern: &str| {
        let principal = tokens.decide(token, at(0)).unwrap();
        let pattern = Pattern::new(pattern).unwrap();
        principal.grants().unwrap().allow(action, &pattern)
    };
    for allowed in ["ride.*", "ride.7", "ride.*.start", "people"] {
        assert!(allows("reader", Action::Subscribe, allowed), "{allowed}");
    }
    for denied in ["*", "ride", "*.7", "people.*", "$sys.x"] {
        assert!(!allows("reader", Action::Subscribe, denied), "{denied}");
    }
    assert!(allows("writer", Action::Publish, "ride.7.start"));
    assert!(!allows("writer", Action::Publish, "ride.7.end"));
    assert!(!allows("writer", Action::Subscribe, "ride.7.start"));
    assert!(!allows("reader", Action::Publish, "ride.7.start"));
    assert!(tokens.decide("rider", at(0)).is_err());
    assert!(tokens.decide("", at(0)).is_err());
}

#[test]
fn a_principal_has_the_name_and_all_else_that_its_entry_says() {
    let tokens = tokens();
    let writer = tokens.decide("writer", at(400)).unwrap();
    assert_eq!(writer.name(), "writer 1");
    assert_eq!(writer.expires_in(), Some(Duration::from_secs(600)));
    assert_eq!(writer.namespace().unwrap().as_str(), "tenant7");
    assert_eq!(writer.limits().connections, Some(4));
    assert_eq!(writer.limits().bytes_per_second, Some(1000));
    assert_eq!(writer.limits().topics, None);
    let id = Principal::token_id_of("writer");
    assert_eq!(writer.token_id(), Some(id.as_str()));
    let reader = tokens.decide("reader", at(400)).unwrap();
    assert_eq!(reader.name(), "token 1");
    assert_eq!(reader.expires_in(), None);
    assert!(reader.token_id().is_some());
}

fn certificate(common_name: &str, dns_name: &str) -> Vec<u8> {
    let mut params = rcgen::CertificateParams::new([dns_name.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let kind = rcgen::DnType::CommonName;
    params.distinguished_name.push(kind, common_name);
    let key = rcgen::KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

#[test]
fn a_certificate_is_known_by_the_first_of_its_names_that_has_an_entry() {
    let file = "[[certificate]]\nname = 'dns:worker'\npublish = ['a']\n\
                [[certificate]]\nname = 'cn:Ada'\npublish = ['b']\nexpires = '1970-01-01T00:16:40Z'\n";
    let tokens = Tokens::parse(file).unwrap();
    let name = |der: &[u8], time| {
        let decided = tokens.decide_by_certificate(der, at(time));
        decided.map(|principal| principal.name().to_owned())
    };
    assert_eq!(
        name(&certificate("Ada", "worker"), 0).unwrap(),
        "dns:worker"
    );
    assert_eq!(name(&certificate("Ada", "other"), 0).unwrap(), "cn:Ada");
    assert!(name(&certificate("Ada", "other"), 1000).is_err(), "expired");
    // A name counts only as what it is.
    assert!(name(&certificate("worker", "Ada"), 0).is_err());
    assert!(name(b"damaged", 0).is_err());
    assert!(tokens.decide("cn:Ada", at(0)).is_err());

    let any = Tokens::parse(&format!(
        "{file}[[certificate]]\nname = '*'\nsubscribe = ['c']"
    ))
    .unwrap();
    let stranger = any.decide_by_certificate(&certificate("Eve", "e"), at(0));
    assert_eq!(stranger.unwrap().name(), "dns:e");
}

#[test]
fn a_token_is_refused_from_the_moment_of_its_expiry_on() {
    let tokens = tokens();
    assert!(tokens.decide("writer", at(999)).is_ok());
    for late in [1000, 1001, 2_000_000_000] {
        let denied = tokens.decide("writer", at(late)).unwrap_err();
        assert_eq!(denied.to_string(), "the token has expired");
    }
}

#[test]
fn a_file_that_gives_nothing_is_an_error_and_no_error_shows_a_token() {
    let long = format!(
        "[[token]]\ntoken = 'sesame{}'\npublish = ['a']",
        "x".repeat(4096)
    );
    let entry = |more: &str| format!("[[token]]\ntoken = 'sesame'\npublish = ['a']\n{more}\n");
    for (file, part) in [
        ("", "no [[token]]"),
        ("# only a comment", "no [[token]]"),
        ("[[token]]\ntoken = ''\npublish = ['a']", "token 1 is empty"),
        ("[[token]]\ntoken = 'sesame'", "token 1: may do nothing"),
        (
            "[[token]]\ntoken = 'sesame'\npublish = ['a..b']",
            "token 1: publish \"a..b\"",
        ),
        (&(entry("") + &entry("")), "token 2 is the same as token 1"),
        (
            "[[token]]\ntoken = 'sesame'\nsesame = ['a']",
            "line 3: unknown field, expected one of",
        ),
        ("[[token]]\ntoken = sesame", "line 2"),
        ("[[token]]\ntoken = 'sesame", "line 2"),
        (
            "[[token]]\ntoken = ['sesame']",
            "line 2: a wrong type, expected a string",
        ),
        (
            "token = 'sesame'",
            "line 1: a wrong type, expected a sequence",
        ),
        ("['sesame']", "line 1: unknown field, expected `token`"),
        (
            "[[token]]\nsesame = 'x'",
            "line 2: unknown field, expected one of",
        ),
        (
            "[[token]]\ntoken = 'sesame'\nsubscribe = 'sesame, expected sesame'",
            "line 3: a wrong type, expected a sequence",
        ),
        (
            "[[token]]\ntoken = 'x'\ntoken = 'sesame'\npublish = ['a']",
            "line 3",
        ),
        ("[[token]]\npublish = ['sesame']", "token 1 has no token"),
        (&long, "token 1 has more than 4096 bytes"),
        (
            "[[token]]\nname = 'x'\ntoken = 'sesame'\npublish = ['a']\n[[token]]\nname = 'x'\ntoken = 'sesame 2'\npublish = ['a']",
            "token 2 has the same name as token 1: \"x\"",
        ),
        (&entry("name = ''"), "the name of token 1 must have 1 to 64"),
        (
            &entry("name = 'my sesame'"),
            "the name of token 1 contains its token",
        ),
        (
            "[[token]]\nhash = 'sesame'\npublish = ['a']",
            "the hash of token 1 must be \"sha256:\" and 64",
        ),
        (
            &entry("hash = 'sha256:00'"),
            "token 1 has a token and a hash",
        ),
        (&entry("expires = 'tomorrow'"), "token 1: expires must be"),
        (
            "[[certificate]]\nname = 'worker'\npublish = ['a']",
            "the name of certificate 1 must be one in the certificate",
        ),
        (
            "[[certificate]]\npublish = ['a']",
            "the name of certificate 1 must be one in the certificate",
        ),
        (
            "[[certificate]]\nname = 'cn:a'\ntoken = 'sesame'\npublish = ['a']",
            "certificate 1 has a token or hash",
        ),
        (
            "[[certificate]]\nname = 'cn:a'\nsesame = 1\npublish = ['a']",
            "line 3: unknown field, expected one of",
        ),
        (
            "[[certificate]]\nname = 'cn:a'",
            "certificate 1: may do nothing",
        ),
        (&entry("namespace = 'a.*'"), "token 1: namespace \"a.*\""),
        (&entry("limits = { sesame = 3 }"), "unknown field"),
        (&entry("limits = { connections = -3 }"), "line 4"),
    ] {
        let problem = Tokens::parse(file).err().unwrap().to_string();
        assert!(problem.contains(part), "{problem:?} lacks {part:?}");
        assert!(!problem.contains("sesame"), "{problem}");
    }
}
