//! JWTs: good ones are accepted, and each of a corpus of bad ones is refused.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod accepted;
mod corpus;
mod forge;
mod rotation;

use std::time::{SystemTime, UNIX_EPOCH};

use qsse_auth::{Jwt, KeySet};
use qsse_server::{Authenticator, Credentials, Principal};
use serde_json::{Value, json};

use forge::ISSUER;

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// Claims of a good token.
fn good() -> Value {
    json!({
        "sub": "ada",
        "iss": ISSUER,
        "aud": "hub",
        "exp": now() + 36_000,
        "nbf": now() - 10,
        "iat": now() - 10,
        "qsse": {"subscribe": ["ride.*"], "publish": ["ride.7"]},
    })
}

/// A server's side with these keys.
fn jwt(jwks: &[Value]) -> Jwt {
    let keys = KeySet::jwks(&json!({"keys": jwks}).to_string()).unwrap();
    Jwt::new(keys).issuers([ISSUER]).audiences(["hub"])
}

async fn ask(jwt: &Jwt, token: &str) -> Result<Principal, String> {
    let credentials = Credentials::new(Some(token), "127.0.0.1:1".parse().unwrap());
    let answer = jwt.authenticate(credentials).await;
    answer.map_err(|denied| denied.to_string())
}
