//! Authenticators that are made of others.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use qsse_auth::{AnyOf, Reloadable, Tokens};
use qsse_server::{Authenticator, Credentials};

fn tokens(token: &str) -> Tokens {
    let file = format!(
        "[[token]]\nname = 'owner of {token}x'\nhash = '{}'\npublish = ['a']",
        hash(token)
    );
    Tokens::parse(&file).unwrap()
}

fn hash(token: &str) -> String {
    use sha2::{Digest, Sha256};
    let digits: String = Sha256::digest(token)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{digits}")
}

async fn ask(one: &impl Authenticator, token: Option<&str>) -> Result<String, String> {
    let credentials = Credentials::new(token, "127.0.0.1:1".parse().unwrap());
    let answer = one.authenticate(credentials).await;
    answer
        .map(|principal| principal.name().to_owned())
        .map_err(|denied| denied.to_string())
}

#[tokio::test]
async fn any_of_several_may_accept_and_none_accepts_nobody() {
    let any = AnyOf::new().or(tokens("one")).or(tokens("two"));
    for (token, name) in [("one", "owner of onex"), ("two", "owner of twox")] {
        assert_eq!(ask(&any, Some(token)).await.unwrap(), name);
    }
    ask(&any, Some("three")).await.unwrap_err();
    ask(&any, None).await.unwrap_err();
    ask(&AnyOf::new(), Some("one")).await.unwrap_err();
}

#[tokio::test]
async fn a_replaced_authenticator_decides_from_then_on() {
    let server_s = Reloadable::new(tokens("old"));
    let ours = server_s.clone();
    assert!(ask(&server_s, Some("old")).await.is_ok());
    ours.replace(tokens("new"));
    assert!(ask(&server_s, Some("old")).await.is_err());
    assert!(ask(&server_s, Some("new")).await.is_ok());
}
