//! Signed tokens, and the key sets that check them.

use std::net::SocketAddr;
use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use qsse_auth::{Jwt, KeySet};
use qsse_server::{Authenticator as _, Credentials};
use serde_json::Value;

const SECRET: &[u8] = b"a secret of the tests that is long enough for HS256";

/// The start of the claims that are accepted. They expire in the year 5138.
const CLAIMS: &str = r#"{"sub":"driver 7","exp":99999999999,"qsse":{"subscribe":["ride.*"]}}"#;

static JWT: LazyLock<Jwt> = LazyLock::new(|| {
    let keys = KeySet::jwks(&key_set()).expect("it is a key set");
    Jwt::new(keys)
});

fn key_set() -> String {
    let secret = URL_SAFE_NO_PAD.encode(SECRET);
    format!(r#"{{"keys":[{{"kty":"oct","alg":"HS256","kid":"one","k":"{secret}"}}]}}"#)
}

/// By the first byte: a token as text, a header and claims that are signed, or a key set.
pub(super) fn run(data: &[u8]) {
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    match first % 3 {
        0 => {
            let text = String::from_utf8_lossy(rest);
            let accepted = is_accepted(&text);
            // Nobody can make a signature without the key: only the seeds are signed.
            assert!(!accepted || text == signed(HEADER.as_bytes(), CLAIMS.as_bytes()));
        }
        1 => {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (header, claims) = rest.split_at(end.unwrap_or(rest.len()));
            let claims = claims.get(1..).unwrap_or_default();
            if is_accepted(&signed(header, claims)) {
                check(header, claims);
            }
        }
        _ => drop(KeySet::jwks(&String::from_utf8_lossy(rest))),
    }
}

/// Checks what every accepted token says.
fn check(header: &[u8], claims: &[u8]) {
    let header: Value = serde_json::from_slice(header).expect("an accepted header is JSON");
    assert_eq!(header["alg"], "HS256", "the key decides the algorithm");
    assert!(header.get("crit").is_none(), "nothing critical is known");
    let claims: Value = serde_json::from_slice(claims).expect("accepted claims are JSON");
    let expires = claims["exp"].as_f64().expect("an accepted token expires");
    assert!(expires > 1_700_000_000.0, "it has not expired");
    assert!(claims.get("aud").is_none(), "it names no audience");
    let grants = claims["qsse"].as_object().expect("it has grants");
    assert!(grants.contains_key("subscribe") || grants.contains_key("publish"));
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn signed(header: &[u8], claims: &[u8]) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let text = format!("{header}.{claims}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()));
    format!("{text}.{signature}")
}

fn is_accepted(token: &str) -> bool {
    let credentials = Credentials::new(Some(token), SocketAddr::from(([127, 0, 0, 1], 1)));
    let answer = JWT.authenticate(credentials).now_or_never();
    answer.is_some_and(|answer| answer.is_ok())
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let token = format!("\0{}", signed(HEADER.as_bytes(), CLAIMS.as_bytes()));
    let headers = [
        HEADER,
        r#"{"alg":"none"}"#,
        r#"{"alg":"RS256","kid":"one","jwk":{},"crit":["x"]}"#,
    ];
    let claims = [
        CLAIMS,
        r#"{"exp":"99999999999","nbf":1,"iat":1.5,"aud":["a"],"iss":"i","qsse":{"publish":["a"]}}"#,
        r#"{"exp":99999999999,"jti":"1","qsse":{"subscribe":["*"],"limits":{"connections":4}}}"#,
    ];
    let mut seeds = vec![token, format!("\u{2}{}", key_set())];
    for header in headers {
        seeds.extend(claims.map(|claims| format!("\u{1}{header}\n{claims}")));
    }
    seeds.into_iter().map(String::into_bytes).collect()
}
