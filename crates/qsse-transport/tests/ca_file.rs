//! A file of certificates to trust: a server's own counts as well as its issuer's, and a refusal
//! names the file.
#![cfg(feature = "self-signed")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use qsse_transport::tls::{ClientTls, ServerTls};
use qsse_transport::{
    CertificateProblem, ClientEndpoint, ConnectError, Connection, ServerEndpoint, TransportConfig,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use support::{loopback, serve, soon};

mod support;

/// A server's certificate and key, and the certificate in a file.
struct Own {
    folder: tempfile::TempDir,
    server: ServerTls,
    pem: String,
}

impl Own {
    /// Signed by its own key.
    fn new(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self::of(certificate.pem(), &key)
    }

    fn of(pem: String, key: &KeyPair) -> Self {
        let server = ServerTls::pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            server,
            pem,
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Whom a client trusts that was given the certificate's file.
    fn trusted(&self) -> ClientTls {
        ClientTls::roots_pem_file(self.file("own.pem", &self.pem)).unwrap()
    }

    async fn connect(&self, name: &str, trust: &ClientTls) -> Result<Connection, ConnectError> {
        let server =
            ServerEndpoint::bind(loopback(), &self.server, &TransportConfig::server()).unwrap();
        serve(&server);
        let client = ClientEndpoint::bind(loopback()).unwrap();
        let config = TransportConfig::client();
        let attempt = client.connect(server.local_addr(), name, trust, &config);
        soon("the connection", attempt).await
    }

    async fn refusal(&self, name: &str, trust: &ClientTls) -> (CertificateProblem, String) {
        let error = self.connect(name, trust).await.unwrap_err();
        let text = error.to_string();
        match error {
            ConnectError::CertificateRefused { problem, .. } => (problem, text),
            other => panic!("{other:?}"),
        }
    }
}

/// As `openssl req -x509` makes it: version 3, CA:TRUE.
fn openssl(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "events.example");
    params
}

#[tokio::test]
async fn a_self_signed_certificate_in_the_file_is_trusted_for_its_names() {
    for is_ca in [
        IsCa::Ca(BasicConstraints::Unconstrained),
        IsCa::ExplicitNoCa,
        IsCa::NoCa,
    ] {
        let mut params = openssl(&["events.example", "127.0.0.1"]);
        params.is_ca = is_ca;
        let own = Own::new(&params);
        for name in ["events.example", "127.0.0.1"] {
            let connected = own.connect(name, &own.trusted()).await;
            connected.unwrap_or_else(|error| panic!("{is_ca:?}, {name}: {error}"));
        }
        let (problem, text) = own.refusal("other.example", &own.trusted()).await;
        let CertificateProblem::WrongName { presented, .. } = problem else {
            panic!("{is_ca:?}: {problem:?}")
        };
        assert!(presented.contains(&"events.example".to_owned()));
        assert!(
            text.contains("events.example") && text.contains("not for other.example"),
            "{text}"
        );
        assert!(text.contains("connect by a name it has"), "{text}");
    }
}

#[tokio::test]
async fn it_is_trusted_among_others_and_without_its_issuer() {
    let authority = KeyPair::generate().unwrap();
    let authority_params = openssl(&[]);
    let issuer = Issuer::from_params(&authority_params, &authority);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["events.example".to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    let own = Own::of(leaf.pem(), &key);
    let file = own.file(
        "several.pem",
        &(Own::new(&openssl(&["a.example"])).pem + &own.pem),
    );
    let trust = ClientTls::roots_pem_file(file).unwrap();
    own.connect("events.example", &trust).await.unwrap();
    let (problem, _) = own.refusal("other.example", &trust).await;
    assert!(matches!(problem, CertificateProblem::WrongName { .. }));
}

#[tokio::test]
async fn an_expired_certificate_in_the_file_is_refused() {
    for is_ca in [IsCa::Ca(BasicConstraints::Unconstrained), IsCa::NoCa] {
        let mut params = openssl(&["events.example"]);
        params.is_ca = is_ca;
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        let own = Own::new(&params);
        let (problem, text) = own.refusal("events.example", &own.trusted()).await;
        assert_eq!(problem, CertificateProblem::Expired);
        assert!(text.contains("give the server a new one"), "{text}");

        params.not_before = date_time_ymd(4000, 1, 1);
        params.not_after = date_time_ymd(4001, 1, 1);
        let own = Own::new(&params);
        let (problem, _) = own.refusal("events.example", &own.trusted()).await;
        assert_eq!(problem, CertificateProblem::NotYetValid);
    }
}

#[tokio::test]
async fn another_certificate_of_the_same_key_and_name_is_another() {
    let key = KeyPair::generate().unwrap();
    let params = openssl(&["events.example"]);
    let mut longer = openssl(&["events.example", "more.example"]);
    longer.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let (shown, given) = (
        params.self_signed(&key).unwrap().pem(),
        longer.self_signed(&key).unwrap().pem(),
    );
    let own = Own::of(shown, &key);
    let file = own.file("given.pem", &given);
    let trust = ClientTls::roots_pem_file(&file).unwrap();
    let (problem, text) = own.refusal("events.example", &trust).await;
    let shown = file.display().to_string();
    assert_eq!(
        problem,
        CertificateProblem::NotInFile {
            file: shown.clone()
        }
    );
    assert!(text.contains(&shown), "{text}");
}

#[tokio::test]
async fn a_refusal_names_the_file_or_what_the_certificate_lacks() {
    let own = Own::new(&openssl(&["events.example"]));
    let other = Own::new(&openssl(&["events.example"]));
    let mut leaf = openssl(&["events.example"]);
    leaf.is_ca = IsCa::NoCa;
    for server in [&own, &Own::new(&leaf)] {
        let (_, text) = server.refusal("events.example", &other.trusted()).await;
        let file = other.folder.path().join("own.pem").display().to_string();
        assert!(text.contains(&format!("neither in {file}")), "{text}");
        assert!(text.contains("give the file of its issuer"), "{text}");
        assert!(!text.contains("--ca FILE"), "that was given: {text}");
    }
    let nameless = Own::new(&openssl(&[]));
    let (problem, text) = nameless
        .refusal("events.example", &nameless.trusted())
        .await;
    let expected = "events.example".to_owned();
    assert_eq!(problem, CertificateProblem::NoNames { expected });
    assert!(text.contains("-addext subjectAltName=DNS:"), "{text}");
}

#[tokio::test]
async fn without_the_file_an_authoritys_certificate_is_one_that_nobody_signed() {
    let own = Own::new(&openssl(&["events.example"]));
    let other = Own::new(&openssl(&["other.example"]));
    let mut roots = qsse_transport::rustls::RootCertStore::empty();
    let pem = other.pem.as_bytes();
    use qsse_transport::rustls::pki_types::{CertificateDer, pem::PemObject};
    roots
        .add(CertificateDer::from_pem_slice(pem).unwrap())
        .unwrap();
    let trust = ClientTls::roots(roots).unwrap();
    let (problem, text) = own.refusal("events.example", &trust).await;
    assert_eq!(problem, CertificateProblem::UnknownIssuer);
    assert!(text.contains("--ca FILE"), "{text}");
}
