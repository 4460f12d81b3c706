//! Keys that change while a server runs.

use std::path::Path;
use std::time::Duration;

use qsse_auth::Jwt;
use serde_json::{Value, json};

use crate::forge::{ISSUER, Keys};
use crate::{ask, good};

fn write(path: &Path, keys: &[Value]) {
    std::fs::write(path, json!({"keys": keys}).to_string()).unwrap();
}

fn named(keys: &Keys, id: &str) -> Value {
    let mut jwk = keys.jwk("EdDSA");
    jwk["kid"] = id.into();
    jwk
}

fn token(keys: &Keys, id: &str) -> String {
    keys.token_with("EdDSA", &json!({"alg": "EdDSA", "kid": id}), &good())
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_are_looked_for_at_a_bounded_rate_and_a_broken_set_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let (first, second) = (Keys::new(1), Keys::new(2));
    write(&path, &[named(&first, "1")]);
    let jwt = Jwt::jwks_file(&path).await.unwrap();
    let jwt = jwt.issuers([ISSUER]).audiences(["hub"]);
    ask(&jwt, &token(&first, "1")).await.unwrap();

    // The set was read a moment ago, so an unknown key does not make the server read it again.
    write(&path, &[named(&first, "1"), named(&second, "2")]);
    let refused = ask(&jwt, &token(&second, "2")).await.unwrap_err();
    assert!(refused.contains("does not know the key"), "{refused}");

    tokio::time::advance(Duration::from_secs(11)).await;
    ask(&jwt, &token(&second, "2")).await.unwrap();

    // Each attempt counts, also one that finds nothing.
    tokio::time::advance(Duration::from_secs(11)).await;
    ask(&jwt, &token(&second, "3")).await.unwrap_err();
    write(
        &path,
        &[named(&first, "1"), named(&second, "2"), named(&second, "3")],
    );
    ask(&jwt, &token(&second, "3")).await.unwrap_err();
    write(&path, &[named(&first, "1"), named(&second, "2")]);

    std::fs::write(&path, "broken").unwrap();
    tokio::time::advance(Duration::from_secs(11)).await;
    ask(&jwt, &token(&second, "3")).await.unwrap_err();
    ask(&jwt, &token(&first, "1")).await.unwrap();
    ask(&jwt, &token(&second, "2")).await.unwrap();

    // A key that was taken out is no longer accepted once the set is read again.
    write(&path, &[named(&second, "2")]);
    tokio::time::advance(Duration::from_secs(601)).await;
    ask(&jwt, &token(&first, "1")).await.unwrap_err();
    ask(&jwt, &token(&second, "2")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_set_is_read_at_most_every_ten_seconds_however_short_the_refresh_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let (first, second) = (Keys::new(1), Keys::new(2));
    write(&path, &[named(&first, "1")]);
    let jwt = Jwt::jwks_file(&path).await.unwrap();
    let jwt = jwt.issuers([ISSUER]).audiences(["hub"]);
    let jwt = jwt.refresh(Duration::ZERO);
    write(&path, &[named(&second, "2")]);
    ask(&jwt, &token(&first, "1")).await.unwrap();
    tokio::time::advance(Duration::from_secs(11)).await;
    ask(&jwt, &token(&first, "1")).await.unwrap_err();
}
