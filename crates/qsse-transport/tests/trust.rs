//! Whom a client trusts, and what it says when it does not.
#![cfg(feature = "self-signed")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use qsse_transport::rustls::crypto::CryptoProvider;
use qsse_transport::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use qsse_transport::rustls::server::ResolvesServerCert;
use qsse_transport::rustls::sign::{CertifiedKey, SingleCertAndKey};
use qsse_transport::rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use qsse_transport::tls::{ClientTls, Fingerprint, ServerTls, dev_cert, provider};
use qsse_transport::{
    CertificateProblem, ClientEndpoint, ConnectError, Connection, HandshakeError, ServerEndpoint,
    TransportConfig,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::{NO_NAMES, loopback, serve, soon};

mod support;

/// Connects to a server with `server_tls` as `name`.
async fn connect(
    server_tls: &ServerTls,
    name: &str,
    client_tls: &ClientTls,
) -> Result<Connection, ConnectError> {
    let server = ServerEndpoint::bind(loopback(), server_tls, &TransportConfig::server()).unwrap();
    serve(&server);
    let client = ClientEndpoint::bind(loopback()).unwrap();
    let config = TransportConfig::client();
    let attempt = client.connect(server.local_addr(), name, client_tls, &config);
    soon("the connection", attempt).await
}

/// The refusal of a server's certificate.
async fn refusal(
    server_tls: &ServerTls,
    name: &str,
    client_tls: &ClientTls,
) -> (CertificateProblem, Option<Fingerprint>, String) {
    let error = connect(server_tls, name, client_tls).await.unwrap_err();
    assert!(!error.is_retryable());
    let text = error.to_string();
    match error {
        ConnectError::CertificateRefused {
            problem,
            fingerprint,
        } => (problem, fingerprint, text),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pinned_certificate_is_trusted_under_any_name() {
    let server = ServerTls::self_signed(NO_NAMES).unwrap();
    let trust = ClientTls::pinned([
        Fingerprint::from_bytes([1; 32]),
        server.fingerprint().unwrap(),
    ]);
    for name in ["localhost", "127.0.0.1", "::1", "elsewhere.example"] {
        let connection = connect(&server, name, &trust).await.unwrap();
        assert_eq!(connection.alpn(), qsse_proto::ALPN);
        let shown = connection.peer_certificates().unwrap();
        assert_eq!(Some(Fingerprint::of(&shown[0])), server.fingerprint());
    }
}

#[tokio::test]
async fn another_fingerprint_is_refused_and_the_one_seen_is_reported() {
    let server = ServerTls::self_signed(NO_NAMES).unwrap();
    for trust in [
        ClientTls::pinned([Fingerprint::from_bytes([1; 32])]),
        ClientTls::pinned([]),
    ] {
        let (problem, seen, text) = refusal(&server, "localhost", &trust).await;
        assert_eq!(problem, CertificateProblem::NotPinned);
        assert_eq!(seen, server.fingerprint());
        let hex = server.fingerprint().unwrap().to_hex();
        assert!(text.contains(&format!("fingerprint={hex}")), "{text}");
    }
}

#[tokio::test]
async fn a_pinned_certificate_without_its_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let own = ServerTls::dev_cert_in(folder.path()).unwrap();
    let pem = std::fs::read(dev_cert::path_in(folder.path())).unwrap();
    let certificate = pem_certificate(&pem);
    // Somebody else who copied the certificate from the wire.
    let thief = KeyPair::generate().unwrap();
    let key = PrivateKeyDer::try_from(thief.serialize_der()).unwrap();
    let key = provider().key_provider.load_private_key(key).unwrap();
    let certified = CertifiedKey::new(vec![certificate], key);
    let config = server_config(Arc::new(SingleCertAndKey::from(certified)));
    let server = ServerTls::rustls(config).unwrap();

    let (problem, seen, _) =
        refusal(&server, "localhost", &ClientTls::pinned(own.fingerprint())).await;
    assert!(
        matches!(problem, CertificateProblem::Other(_)),
        "{problem:?}"
    );
    assert_eq!(seen, own.fingerprint());
    // Encrypted to nobody in particular is not even that.
    let (_, seen, _) = refusal(&server, "localhost", &ClientTls::insecure()).await;
    assert_eq!(seen, own.fingerprint());
}

#[tokio::test]
async fn insecure_trusts_anybody() {
    let server = ServerTls::self_signed(NO_NAMES).unwrap();
    connect(&server, "elsewhere.example", &ClientTls::insecure())
        .await
        .unwrap();
}

#[tokio::test]
async fn given_roots_are_trusted_for_the_certificates_names_only() {
    let ca = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("ca.pem");
    std::fs::write(&root, ca.issuer.pem()).unwrap();
    let trust = ClientTls::roots_pem_file(&root).unwrap();
    let (chain, key) = ca.issue(&["events.example", "127.0.0.1"]);
    let server = ServerTls::pem(chain.as_bytes(), key.as_bytes()).unwrap();

    for name in ["events.example", "127.0.0.1"] {
        connect(&server, name, &trust).await.unwrap();
    }
    let (problem, seen, text) = refusal(&server, "other.example", &trust).await;
    let CertificateProblem::WrongName {
        expected,
        presented,
    } = problem
    else {
        panic!("{problem:?}")
    };
    assert_eq!(expected, "other.example");
    assert!(
        presented.contains(&"events.example".to_owned()),
        "{presented:?}"
    );
    assert_eq!(seen, server.fingerprint());
    assert!(text.contains("not for other.example"), "{text}");
}

#[tokio::test]
async fn another_authority_is_refused() {
    let server = ServerTls::self_signed(["events.example"]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(Authority::new().issuer.der().clone()).unwrap();
    let trust = ClientTls::roots(roots).unwrap();
    let (problem, seen, text) = refusal(&server, "events.example", &trust).await;
    assert_eq!(problem, CertificateProblem::UnknownIssuer);
    assert_eq!(seen, server.fingerprint());
    assert!(
        text.contains("--ca") && text.contains("fingerprint="),
        "{text}"
    );
    assert!(ClientTls::roots(RootCertStore::empty()).is_err());
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let ca = Authority::new();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let (chain, key) = ca.sign(params);
    let server = ServerTls::pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let (problem, ..) = refusal(&server, "localhost", &ca.trust()).await;
    assert_eq!(problem, CertificateProblem::Expired);
}

#[cfg(feature = "platform-verifier")]
#[tokio::test]
async fn a_self_signed_certificate_is_refused_with_the_roots_of_the_platform() {
    use qsse_transport::tls::TlsError;

    let server = ServerTls::self_signed(NO_NAMES).unwrap();
    match ClientTls::platform() {
        Ok(trust) => {
            let (problem, seen, _) = refusal(&server, "localhost", &trust).await;
            assert_eq!(problem, CertificateProblem::UnknownIssuer);
            assert_eq!(seen, server.fingerprint());
        }
        // A machine without any roots.
        Err(error) => assert!(matches!(error, TlsError::PlatformRoots(_)), "{error}"),
    }
}

#[tokio::test]
async fn own_rustls_configurations_work_on_both_sides() {
    let ca = Authority::new();
    let (chain, key) = ca.issue(&["localhost"]);
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pem_certificate(chain.as_bytes())], pem_key(&key))
        .unwrap();
    let server = ServerTls::rustls(config).unwrap();
    assert_eq!(server.fingerprint(), None);
    let trust = ClientTls::rustls(client_config(&[ca.issuer.der()], provider())).unwrap();
    connect(&server, "localhost", &trust).await.unwrap();

    let stranger = Authority::new();
    let trust = ClientTls::rustls(client_config(&[stranger.issuer.der()], provider())).unwrap();
    let (problem, seen, _) = refusal(&server, "localhost", &trust).await;
    assert!(
        matches!(problem, CertificateProblem::Other(_)),
        "{problem:?}"
    );
    assert_eq!(seen, None);
}

#[tokio::test]
async fn configurations_that_cannot_do_quic_are_refused_at_once() {
    let mut crippled = (*provider()).clone();
    crippled
        .cipher_suites
        .retain(|suite| format!("{:?}", suite.suite()).contains("CHACHA20"));
    let ca = Authority::new();
    let config = client_config(&[ca.issuer.der()], Arc::new(crippled));
    let error = ClientTls::rustls(config).unwrap_err().to_string();
    assert!(error.contains("QUIC"), "{error}");
}

#[tokio::test]
async fn protocols_are_negotiated_and_a_mismatch_is_told_apart() {
    let (server_tls, client_tls) = support::tls();
    let both = server_tls.clone().with_alpn(["qsse/1", "PROTOCOL_QUIC"]);
    let go = client_tls.clone().with_alpn(["PROTOCOL_QUIC"]);
    assert_eq!(
        connect(&both, "localhost", &go).await.unwrap().alpn(),
        b"PROTOCOL_QUIC"
    );
    assert_eq!(
        connect(&both, "localhost", &client_tls)
            .await
            .unwrap()
            .alpn(),
        b"qsse/1"
    );

    let server = ServerEndpoint::bind(loopback(), &server_tls, &TransportConfig::server()).unwrap();
    let client = ClientEndpoint::bind(loopback()).unwrap();
    let config = TransportConfig::client();
    let (served, connected) = soon("both failures", async {
        tokio::join!(
            async { server.accept().await.unwrap().complete().await },
            client.connect(server.local_addr(), "localhost", &go, &config)
        )
    })
    .await;
    assert_eq!(served.unwrap_err(), HandshakeError::AlpnMismatch);
    let error = connected.unwrap_err();
    assert!(
        matches!(error, ConnectError::AlpnMismatch { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("PROTOCOL_QUIC"), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_server_changes_its_certificate_while_running() {
    let (first, trusts_first) = support::tls();
    let (second, trusts_second) = support::tls();
    let server = ServerEndpoint::bind(loopback(), &first, &TransportConfig::server()).unwrap();
    serve(&server);
    let client = ClientEndpoint::bind(loopback()).unwrap();
    let config = TransportConfig::client();
    let connect = |trust| {
        let (client, config, address) = (client.clone(), config.clone(), server.local_addr());
        async move { client.connect(address, "localhost", &trust, &config).await }
    };
    let early = soon("the first", connect(trusts_first.clone()))
        .await
        .unwrap();
    server.set_tls(&second).unwrap();
    soon("the second", connect(trusts_second)).await.unwrap();
    let error = soon("a refusal", connect(trusts_first)).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::CertificateRefused { .. }),
        "{error:?}"
    );
    assert_eq!(early.close_reason(), None);
}

#[tokio::test]
async fn what_is_no_name_is_refused() {
    let (server, trust) = support::tls();
    let error = connect(&server, "not a name", &trust).await.unwrap_err();
    assert_eq!(error, ConnectError::InvalidServerName("not a name".into()));
}

#[test]
fn debug_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let tls = ServerTls::dev_cert_in(folder.path()).unwrap();
    let shown = format!("{tls:?}");
    assert!(
        shown.contains("fingerprint") && !shown.contains("reset"),
        "{shown}"
    );
}

/// A certificate authority of our own.
struct Authority {
    issuer: rcgen::Certificate,
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = params.self_signed(&key).unwrap();
        Self {
            issuer,
            params,
            key,
        }
    }

    fn trust(&self) -> ClientTls {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        ClientTls::roots(roots).unwrap()
    }

    fn issue(&self, names: &[&str]) -> (String, String) {
        let names: Vec<_> = names.iter().map(|name| name.to_string()).collect();
        self.sign(CertificateParams::new(names).unwrap())
    }

    fn sign(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn client_config(
    roots: &[&CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add((*root).clone()).unwrap();
    }
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth()
}

fn server_config(resolver: Arc<dyn ResolvesServerCert>) -> ServerConfig {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(resolver)
}

fn pem_certificate(pem: &[u8]) -> CertificateDer<'static> {
    use qsse_transport::rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pem).unwrap()
}

fn pem_key(pem: &str) -> PrivateKeyDer<'static> {
    use qsse_transport::rustls::pki_types::pem::PemObject;
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap()
}
