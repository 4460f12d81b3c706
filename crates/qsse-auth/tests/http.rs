//! A callback and a JWKS over HTTP, answered by a small server in the test.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use qsse_auth::{Callback, Jwt, JwtSigner};
use qsse_server::{Authenticator, Credentials, Principal};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers requests: a function of the body gives status and body.
struct Web {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Web {
    async fn plain(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/path?a=b", listener.local_addr().unwrap());
        let asked = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                serve(stream, &answer).await;
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &impl Fn(&str) -> (u16, String),
) {
    let mut request = Vec::new();
    let body = loop {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        assert!(head.contains(" /path?a=b HTTP/1.1\r\n"), "{head}");
        let head = head.to_ascii_lowercase();
        let len = head.split("content-length: ").nth(1);
        let len = len.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
        if body.len() >= len {
            break body.to_owned();
        }
    };
    let (status, body) = answer(&body);
    let head = format!(
        "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn ask(one: &impl Authenticator, token: Option<&str>) -> Result<Principal, String> {
    let credentials = Credentials::new(token, "192.0.2.7:9".parse().unwrap());
    let answer = one.authenticate(credentials).await;
    answer.map_err(|denied| denied.to_string())
}

#[tokio::test]
async fn a_callback_decides_and_its_answers_are_remembered() {
    let web = Web::plain(|question| {
        let question: Value = serde_json::from_str(question).unwrap();
        assert_eq!(question["address"], "192.0.2.7:9");
        match question["token"].as_str() {
            Some("ada's") => (
                200,
                json!({"principal": "ada", "subscribe": ["a"], "ttl": 3600,
                       "limits": {"connections": 3}, "namespace": "t"})
                .to_string(),
            ),
            Some("nameless") => (200, json!({"publish": ["a"]}).to_string()),
            None => (200, json!({"subscribe": ["public.*"]}).to_string()),
            Some("late") => (403, json!({"reason": "your account has ended"}).to_string()),
            _ => (401, String::new()),
        }
    });
    let web = web.await;
    let callback = Callback::new(&web.url, None).unwrap();
    for _ in 0..3 {
        let ada = ask(&callback, Some("ada's")).await.unwrap();
        assert_eq!(ada.name(), "ada");
        assert_eq!(ada.limits().connections, Some(3));
        assert_eq!(ada.namespace().unwrap().as_str(), "t");
        assert!(ada.expires_in().unwrap() <= Duration::from_secs(3600));
    }
    assert_eq!(web.asked(), 1);
    let nameless = ask(&callback, Some("nameless")).await.unwrap();
    assert_eq!(nameless.name(), "token");
    assert_eq!(nameless.expires_in(), None);
    assert_eq!(ask(&callback, None).await.unwrap().name(), "anonymous");
    for _ in 0..3 {
        let refused = ask(&callback, Some("late")).await.unwrap_err();
        assert_eq!(refused, "your account has ended");
        let refused = ask(&callback, Some("eve")).await.unwrap_err();
        assert_eq!(refused, "this server does not know the token");
    }
    assert_eq!(web.asked(), 5);
}

#[tokio::test]
async fn a_callback_without_a_proper_answer_refuses_and_is_asked_again() {
    for (name, status, body) in [
        ("an error", 500, json!({"subscribe": ["*"]}).to_string()),
        (
            "a redirection",
            302,
            json!({"subscribe": ["*"]}).to_string(),
        ),
        ("another success", 204, String::new()),
        ("nothing", 200, String::new()),
        ("no JSON", 200, "yes".into()),
        ("a list", 200, json!([null, null, ["*"]]).to_string()),
        ("no grants", 200, json!({"principal": "ada"}).to_string()),
        (
            "an unknown field",
            200,
            json!({"subscribe": ["*"], "tll": 5}).to_string(),
        ),
        (
            "a wrong pattern",
            200,
            json!({"subscribe": ["a..b"]}).to_string(),
        ),
        (
            "a negative time",
            200,
            json!({"subscribe": ["*"], "ttl": -1}).to_string(),
        ),
        (
            "a name to forge logs",
            200,
            json!({"subscribe": ["*"], "principal": "a\nb"}).to_string(),
        ),
        (
            "too much",
            200,
            format!("{{\"subscribe\": [\"a\"]{}}}", " ".repeat(300_000)),
        ),
    ] {
        let web = Web::plain(move |_| (status, body.clone())).await;
        let callback = Callback::new(&web.url, None).unwrap();
        for _ in 0..2 {
            let refused = ask(&callback, Some("t")).await.unwrap_err();
            assert!(
                refused.contains("could not be checked"),
                "{name}: {refused}"
            );
        }
        assert_eq!(web.asked(), 2, "{name}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    let callback = Callback::new(&url, None).unwrap();
    ask(&callback, Some("t")).await.unwrap_err();
}

#[tokio::test]
async fn a_callback_that_hangs_refuses_after_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let callback = Callback::new(&url, None).unwrap();
    let refused = ask(&callback, Some("t")).await.unwrap_err();
    assert!(refused.contains("could not be checked"), "{refused}");
}

#[test]
fn a_url_must_be_safe() {
    for (url, part) in [
        ("http://example.org/", "https://"),
        ("http://192.0.2.7/", "https://"),
        ("ftp://127.0.0.1/", "https://"),
        ("example.org", "https://"),
        ("/path", "no host"),
        ("", "not a URL"),
        ("https://user:sesame@example.org/", "password"),
    ] {
        let error = Callback::new(url, None).err().unwrap().to_string();
        assert!(error.contains(part), "{url}: {error}");
        assert!(!error.contains("sesame"), "{error}");
    }
    for url in [
        "http://localhost:80/a",
        "http://127.0.0.1",
        "http://[::1]:8080/",
    ] {
        Callback::new(url, None).unwrap();
    }
}

#[tokio::test]
async fn keys_come_from_a_url_over_tls() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let x = rcgen::PublicKeyData::der_bytes(&pair);
    let x = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, x);
    let jwks = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}).to_string();

    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, own.cert.pem()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = tls(&own);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, &|_| (200, jwks.clone())).await;
            }
        }
    });

    let url = format!("https://localhost:{port}/path?a=b");
    let jwt = Jwt::jwks_url(&url, Some(&ca))
        .await
        .unwrap()
        .allow_no_expiry(true);
    let claims = json!({"qsse": {"subscribe": ["a"]}});
    let token = JwtSigner::key_file(&key)
        .unwrap()
        .sign(claims.as_object().unwrap(), None);
    ask(&jwt, Some(&token)).await.unwrap();

    // Another certificate is not trusted, and another name neither.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&ca, other.cert.pem()).unwrap();
    assert!(Jwt::jwks_url(&url, Some(&ca)).await.is_err());
}

fn tls(own: &rcgen::CertifiedKey<rcgen::KeyPair>) -> tokio_rustls::TlsAcceptor {
    use qsse_server::transport::rustls::ServerConfig;
    use qsse_server::transport::rustls::pki_types::PrivatePkcs8KeyDer;
    use qsse_server::transport::tls::provider;
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    Arc::new(config).into()
}
