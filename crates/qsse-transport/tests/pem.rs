//! Certificate and key files: what is wrong with them is said, with the file's name.
#![cfg(feature = "self-signed")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use qsse_transport::tls::{ClientTls, ServerTls, TlsError};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

struct Files {
    folder: tempfile::TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let files = Self {
            certificate: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
            folder,
        };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn error(certificate: &Path, key: &Path) -> (TlsError, String) {
    let error = ServerTls::pem_files(certificate, key).unwrap_err();
    let text = error.to_string();
    (error, text)
}

#[test]
fn a_pair_of_files_and_one_file_with_both_load() {
    let files = Files::new();
    let two = ServerTls::pem_files(&files.certificate, &files.key).unwrap();
    let both = [
        std::fs::read(&files.key).unwrap(),
        std::fs::read(&files.certificate).unwrap(),
    ]
    .concat();
    let both = files.write("both.pem", both);
    let one = ServerTls::pem_files(&both, &both).unwrap();
    assert!(two.fingerprint().is_some());
    assert_eq!(one.fingerprint(), two.fingerprint());
}

#[test]
fn a_missing_file_is_named() {
    let files = Files::new();
    let (found, text) = error(&files.certificate, Path::new("/nowhere/key.pem"));
    assert!(matches!(found, TlsError::Unreadable { .. }));
    assert!(
        text.contains("/nowhere/key.pem") && text.contains("no such file"),
        "{text}"
    );
}

#[test]
fn swapped_files_are_recognised() {
    let files = Files::new();
    let (found, text) = error(&files.key, &files.certificate);
    assert!(matches!(found, TlsError::Swapped { .. }), "{found:?}");
    assert!(text.contains("swapped"), "{text}");
}

#[test]
fn what_is_there_instead_is_told() {
    let files = Files::new();
    let (found, text) = error(&files.key, &files.key);
    assert!(matches!(found, TlsError::NoCertificate { .. }), "{found:?}");
    assert!(
        text.contains("key.pem") && text.contains("it holds PRIVATE KEY"),
        "{text}"
    );

    let (found, text) = error(&files.certificate, &files.certificate);
    assert!(matches!(found, TlsError::NoKey { .. }), "{found:?}");
    assert!(
        text.contains("cert.pem") && text.contains("it holds CERTIFICATE"),
        "{text}"
    );

    let empty = files.write("empty.pem", " \n");
    assert!(error(&files.certificate, &empty).1.contains("it is empty"));
    let der = files.write("key.der", [0x30, 0x82, 0xff, 0x00]);
    let (_, text) = error(&files.certificate, &der);
    assert!(
        text.contains("in DER form") && text.contains("openssl pkey -inform der"),
        "{text}"
    );
    let neither = files.write("notes.txt", "my key is in the drawer\n");
    let (_, text) = error(&files.certificate, &neither);
    assert!(
        text.contains("not in PEM form") && text.contains("give the file of the key"),
        "{text}"
    );
}

#[test]
fn an_encrypted_key_says_how_to_decrypt_it() {
    let files = Files::new();
    let locked = files.write(
        "locked.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let (found, text) = error(&files.certificate, &locked);
    assert!(matches!(found, TlsError::EncryptedKey { .. }), "{found:?}");
    assert!(text.contains("openssl pkey"), "{text}");
}

#[test]
fn damage_is_told_from_absence() {
    let files = Files::new();
    let pem = std::fs::read_to_string(&files.certificate).unwrap();
    let cut = files.write("cut.pem", &pem[..pem.len() / 2]);
    let (found, text) = error(&cut, &files.key);
    assert!(matches!(found, TlsError::BadPem { .. }), "{found:?}");
    assert!(
        text.contains("cut.pem") && text.contains("cut off"),
        "{text}"
    );

    let nonsense = files.write(
        "nonsense.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let (found, text) = error(&nonsense, &files.key);
    assert!(
        matches!(found, TlsError::BadCertificate { .. }),
        "{found:?}"
    );
    assert!(text.contains("nonsense.pem"), "{text}");

    let key = files.write(
        "odd.pem",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    let (found, _) = error(&files.certificate, &key);
    assert!(
        matches!(found, TlsError::UnsupportedKey { .. }),
        "{found:?}"
    );
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, other) = (Files::new(), Files::new());
    let (found, text) = error(&one.certificate, &other.key);
    assert!(matches!(found, TlsError::KeyMismatch { .. }), "{found:?}");
    assert!(
        text.contains("cert.pem") && text.contains("key.pem"),
        "{text}"
    );
}

#[test]
fn a_chain_in_the_wrong_order_says_which_comes_first() {
    let files = Files::new();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &Issuer::from_params(&params, &ca_key))
        .unwrap();
    let key = files.write("leaf-key.pem", key.serialize_pem());

    let right = files.write("right.pem", leaf.pem() + &ca.pem());
    assert!(ServerTls::pem_files(&right, &key).is_ok());
    let wrong = files.write("wrong.pem", ca.pem() + &leaf.pem());
    let (found, text) = error(&wrong, &key);
    assert!(
        matches!(found, TlsError::WrongOrder { position: 2, .. }),
        "{found:?}"
    );
    assert!(
        text.contains("wrong.pem") && text.contains("number 2"),
        "{text}"
    );
}

#[test]
fn roots_are_read_from_a_file_or_its_fault_is_told() {
    let files = Files::new();
    assert!(ClientTls::roots_pem_file(&files.certificate).is_ok());
    let text = ClientTls::roots_pem_file(&files.key)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("key.pem") && text.contains("no certificate") && text.contains("PRIVATE KEY"),
        "{text}"
    );
    assert!(text.contains("give the file of the certificate"), "{text}");
    let der = KeyPair::generate().unwrap();
    let der = CertificateParams::new(Vec::new())
        .unwrap()
        .self_signed(&der)
        .unwrap();
    let der = files.write("cert.der", der.der());
    let text = ClientTls::roots_pem_file(der).unwrap_err().to_string();
    assert!(
        text.contains("cert.der") && text.contains("openssl x509 -inform der"),
        "{text}"
    );
    let text = ClientTls::roots_pem_file(files.folder.path())
        .unwrap_err()
        .to_string();
    assert!(text.contains("it is a folder"), "{text}");
    let text = ClientTls::roots_pem_file("/nowhere/ca.pem")
        .unwrap_err()
        .to_string();
    assert!(text.contains("/nowhere/ca.pem"), "{text}");
}
