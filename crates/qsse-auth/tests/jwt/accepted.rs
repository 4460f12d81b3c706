//! Good tokens, and what their principals are.

use std::time::Duration;

use qsse_auth::{Algorithm, Jwt, JwtSigner, KeySet};
use qsse_server::{Action, Pattern};
use serde_json::json;

use crate::forge::{Keys, pem};
use crate::{ask, good, jwt, now};

#[tokio::test]
async fn every_algorithm_is_accepted_with_its_key() {
    let keys = Keys::new(1);
    for algorithm in Algorithm::ALL {
        let name = algorithm.name();
        let jwt = jwt(&[keys.jwk(name)]);
        let token = keys.token(name, &good());
        let principal = ask(&jwt, &token).await;
        let principal = principal.unwrap_or_else(|refused| panic!("{name}: {refused}"));
        assert_eq!(principal.name(), "ada");
    }
}

#[tokio::test]
async fn a_token_says_what_its_owner_may_do_and_how_long() {
    let keys = Keys::new(1);
    let jwt = jwt(&[keys.jwk("EdDSA")]);
    let mut claims = good();
    claims["jti"] = "ticket 5".into();
    claims["qsse"] = json!({
        "subscribe": ["ride.*", "people"],
        "namespace": "tenant7",
        "limits": {"connections": 2, "bytes_per_second": 5_000_000_000_u64},
    });
    let ada = ask(&jwt, &keys.token("EdDSA", &claims)).await.unwrap();
    assert_eq!((ada.name(), ada.token_id()), ("ada", Some("ticket 5")));
    let rides = Pattern::new("ride.*.start").unwrap();
    assert!(ada.grants().unwrap().allow(Action::Subscribe, &rides));
    assert!(!ada.grants().unwrap().allow(Action::Publish, &rides));
    assert_eq!(ada.namespace().unwrap().as_str(), "tenant7");
    assert_eq!(ada.limits().connections, Some(2));
    assert_eq!(ada.limits().bytes_per_second, Some(5_000_000_000));
    // It ends with exp, and 30 s later if clocks differ.
    let left = ada.expires_in().unwrap();
    let hours = Duration::from_secs(36_000);
    assert!(left > hours - Duration::from_secs(600) && left <= hours + Duration::from_secs(30));
}

#[tokio::test]
async fn what_is_optional_may_be_missing_or_written_in_another_way() {
    let keys = Keys::new(1);
    let accept = jwt(&[keys.jwk("RS256")]);
    let with = |name: &str, value| {
        let mut claims = good();
        claims[name] = value;
        keys.token("RS256", &claims)
    };
    let without = |names: &[&str]| {
        let mut claims = good();
        names.iter().for_each(|name| {
            claims.as_object_mut().unwrap().remove(*name);
        });
        claims
    };
    let header = |header| keys.token_with("RS256", &header, &good());
    for (name, token) in [
        ("aud in a list", with("aud", json!(["other", "hub"]))),
        (
            "exp with a fraction",
            with("exp", json!(now() as f64 + 500.5)),
        ),
        (
            "exp just over, within the leeway",
            with("exp", json!(now() - 1)),
        ),
        ("another claim", with("email", json!("ada@example.org"))),
        (
            "no sub, nbf, iat",
            keys.token("RS256", &without(&["sub", "nbf", "iat"])),
        ),
        ("no typ", header(json!({"alg": "RS256"}))),
        ("at+jwt", header(json!({"alg": "RS256", "typ": "at+JWT"}))),
        (
            "kid, and the key has none",
            header(json!({"alg": "RS256", "kid": "any"})),
        ),
    ] {
        let answer = ask(&accept, &token).await;
        assert!(answer.is_ok(), "{name}: {:?}", answer.err());
    }

    let plain = Jwt::new(KeySet::jwks(&json!({"keys": [keys.jwk("RS256")]}).to_string()).unwrap())
        .claim("https://example.org/qsse")
        .allow_no_expiry(true);
    let claims = json!({"https://example.org/qsse": {"publish": ["a"]}});
    let anyone = ask(&plain, &keys.token("RS256", &claims)).await.unwrap();
    assert_eq!(anyone.expires_in(), None);
    assert_eq!(anyone.token_id().unwrap().len(), 16);
    ask(&plain, &keys.token("RS256", &good()))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_key_of_a_set_is_found_by_its_id() {
    let keys = Keys::new(1);
    let named = |algorithm: &str, id: &str| {
        let mut jwk = keys.jwk(algorithm);
        jwk["kid"] = id.into();
        jwk
    };
    let encryption = json!({"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"});
    let unknown = json!({"kty": "future", "kid": "x"});
    let jwt = jwt(&[
        encryption,
        unknown,
        named("RS256", "1"),
        named("ES384", "2"),
    ]);
    for (algorithm, id) in [("RS256", "1"), ("ES384", "2")] {
        let header = json!({"alg": algorithm, "kid": id});
        let token = keys.token_with(algorithm, &header, &good());
        ask(&jwt, &token).await.unwrap();
        ask(&jwt, &keys.token(algorithm, &good())).await.unwrap();
    }
}

#[tokio::test]
async fn keys_are_read_from_files_and_what_a_signer_signs_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| {
        std::fs::write(path(name), text).unwrap();
        path(name)
    };
    let claims = json!({"exp": now() + 1000, "qsse": {"subscribe": ["a"]}});
    let claims = claims.as_object().unwrap();
    for (name, algorithm) in [
        ("RSA", &rcgen::PKCS_RSA_SHA256),
        ("P-256", &rcgen::PKCS_ECDSA_P256_SHA256),
        ("P-384", &rcgen::PKCS_ECDSA_P384_SHA384),
        ("Ed25519", &rcgen::PKCS_ED25519),
    ] {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let private = write("private", &pair.serialize_pem());
        let public = write("public", &pair.public_key_pem());
        let certificate = rcgen::CertificateParams::new(["a".to_owned()]).unwrap();
        let certificate = certificate.self_signed(&pair).unwrap();
        let certificate = write("certificate", &pem("CERTIFICATE", certificate.der()));
        let signer = JwtSigner::key_file(&private).unwrap();
        let token = signer.sign(claims, Some("id"));
        for file in [&public, &certificate] {
            let jwt = Jwt::new(KeySet::key_file(file, None).unwrap());
            let answer = ask(&jwt, &token).await;
            assert!(answer.is_ok(), "{name}: {:?}", answer.err());
        }
        let refused = KeySet::key_file(&private, None).err().unwrap();
        assert!(refused.to_string().contains("private key"), "{refused}");
        let refused = KeySet::key_file(&public, Some(Algorithm::Hs256)).err();
        assert!(refused.is_some(), "{name} is no secret");
    }
    let secret = write("secret", "  0123456789abcdef0123456789abcdef\n");
    let token = JwtSigner::key_file(&secret).unwrap().sign(claims, None);
    let jwt = Jwt::new(KeySet::key_file(&secret, None).unwrap());
    ask(&jwt, &token).await.unwrap();
    let short = write("short", "0123456789abcdef0123456789abcde");
    let refused = KeySet::key_file(&short, None).err().unwrap().to_string();
    assert!(
        refused.contains("at least 32") && !refused.contains("0123"),
        "{refused}"
    );
}

#[test]
fn a_set_without_usable_keys_or_with_private_ones_is_refused() {
    let keys = Keys::new(1);
    let mut private = keys.jwk("EdDSA");
    private["d"] = "AAAA".into();
    let mut misfit = keys.jwk("EdDSA");
    misfit["alg"] = "RS256".into();
    let short = json!({"kty": "oct", "k": "AAAA"});
    let small = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
    let flat = json!({"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"});
    let many = vec![keys.jwk("EdDSA"); 65];
    for (name, set) in [
        ("no JSON", "keys".to_owned()),
        ("no object", "[]".into()),
        ("no keys", "{}".into()),
        ("empty", json!({"keys": []}).to_string()),
        ("keys twice", r#"{"keys": [], "keys": []}"#.into()),
        (
            "not an array",
            json!({"keys": keys.jwk("EdDSA")}).to_string(),
        ),
        ("no kty", json!({"keys": [{"alg": "RS256"}]}).to_string()),
        ("private", json!({"keys": [private]}).to_string()),
        ("alg of another kind", json!({"keys": [misfit]}).to_string()),
        ("short secret", json!({"keys": [short]}).to_string()),
        ("small RSA", json!({"keys": [small]}).to_string()),
        ("short point", json!({"keys": [flat]}).to_string()),
        ("too many", json!({"keys": many}).to_string()),
    ] {
        assert!(KeySet::jwks(&set).is_err(), "{name}");
    }
}
