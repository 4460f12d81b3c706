//! What a server's address may look like.

use super::*;

const HEX: &str = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

fn parse(text: &str) -> Result<ServerUrl, UrlError> {
    text.parse()
}

#[test]
fn reads_every_form_and_shows_the_long_one() {
    for (text, shown) in [
        ("localhost", "qsse://localhost:4242"),
        ("a.example:1", "qsse://a.example:1"),
        ("127.0.0.1", "qsse://127.0.0.1:4242"),
        ("[::1]", "qsse://[::1]:4242"),
        ("[2001:db8::7]:65535", "qsse://[2001:db8::7]:65535"),
        ("qsse://a_b.example", "qsse://a_b.example:4242"),
        ("QSSE://a.example:9/", "qsse://a.example:9"),
        (" localhost\n", "qsse://localhost:4242"),
    ] {
        let url = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(url.to_string(), shown);
        assert_eq!(parse(shown).as_ref(), Ok(&url));
    }
}

#[test]
fn fingerprints_survive_in_any_form() {
    let fingerprint: Fingerprint = HEX.parse().unwrap();
    let other = Fingerprint::from_bytes([7; 32]);
    let text = format!(
        "qsse://h?fingerprint={fingerprint}&fingerprint={}",
        other.to_hex()
    );
    let url = parse(&text).unwrap();
    assert_eq!(url.fingerprints(), [fingerprint, other]);
    assert_eq!(parse(&url.to_string()), Ok(url));
    let escaped = format!(
        "h:1?fingerprint={}",
        fingerprint.to_string().replace(':', "%3A")
    );
    assert_eq!(parse(&escaped).unwrap().fingerprints(), [fingerprint]);
}

#[test]
fn errors_say_what_to_write() {
    for (text, part) in [
        ("", "HOST:PORT"),
        ("qsse://", "HOST:PORT"),
        (":4242", "HOST:PORT"),
        ("http://a:1", "qsse://a:1"),
        ("::1", "[::1]"),
        ("[::1", "closing bracket"),
        ("[localhost]", "only IPv6 addresses in brackets"),
        ("[::1]4242", "1 to 65535"),
        ("a:0", "1 to 65535"),
        ("a:+1", "1 to 65535"),
        ("a:65536", "1 to 65535"),
        ("a:b:1", "1 to 65535"),
        ("a b", "' '"),
        ("bücher.example", "'ü'"),
        ("a/ride", "leave out /ride"),
        ("qsse://secret@a", "--token"),
        ("http://secret@a", "--token"),
        ("a#b", "#"),
        ("a?token=x", "\"token\""),
        ("a?fingerprint=12", "64 hexadecimal digits"),
        ("a?fingerprint", "64 hexadecimal digits"),
    ] {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn loopback_is_recognised() {
    for yes in [
        "localhost",
        "LOCALHOST.",
        "x.localhost",
        "127.9.9.9",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ] {
        assert!(parse(yes).unwrap().is_loopback(), "{yes}");
    }
    for no in [
        "localhost.example",
        "10.0.0.1",
        "[::]",
        "0.0.0.0",
        "notlocalhost",
    ] {
        assert!(!parse(no).unwrap().is_loopback(), "{no}");
    }
}
