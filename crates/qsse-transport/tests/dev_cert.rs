//! The development certificate: made once, kept privately, renewed, and never in the way.
#![cfg(feature = "self-signed")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use qsse_transport::tls::{ClientTls, ServerTls, dev_cert};
use qsse_transport::{ClientEndpoint, ConnectError, ServerEndpoint, TransportConfig};

mod support;

fn only_file(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn it_is_made_once_and_its_fingerprint_can_be_read() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state/qsse");
    assert_eq!(dev_cert::fingerprint_in(&folder), None);

    let made = ServerTls::dev_cert_in(&folder).unwrap().fingerprint();
    assert!(made.is_some());
    assert_eq!(dev_cert::fingerprint_in(&folder), made);
    assert_eq!(ServerTls::dev_cert_in(&folder).unwrap().fingerprint(), made);
    assert_eq!(
        only_file(&folder),
        ["dev-cert.pem"],
        "no temporary file is left"
    );
}

#[cfg(unix)]
#[test]
fn only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;

    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("qsse");
    ServerTls::dev_cert_in(&folder).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dev_cert::path_in(&folder)), 0o600);
    assert_eq!(mode(&folder), 0o700);
}

#[test]
fn servers_that_start_together_agree_on_one() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("qsse");
    let start = std::sync::Barrier::new(16);
    let seen: Vec<_> = std::thread::scope(|scope| {
        let servers: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    ServerTls::dev_cert_in(&folder).unwrap().fingerprint()
                })
            })
            .collect();
        servers.into_iter().map(|s| s.join().unwrap()).collect()
    });
    let kept = dev_cert::fingerprint_in(&folder);
    assert!(kept.is_some());
    assert!(
        seen.iter().all(|fingerprint| *fingerprint == kept),
        "{seen:?}"
    );
    assert_eq!(only_file(&folder), ["dev-cert.pem"]);
}

#[test]
fn it_is_renewed_before_it_expires_and_repaired_when_damaged() {
    let home = tempfile::tempdir().unwrap();
    let path = dev_cert::path_in(home.path());
    let load = || ServerTls::dev_cert_in(home.path()).unwrap().fingerprint();
    let first = load();

    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let day = 24 * 3600;
    let expiring_in = |days: u64| {
        let pem = fs::read_to_string(&path).unwrap();
        let (line, rest) = pem.split_once('\n').unwrap();
        let (words, _) = line.rsplit_once(' ').unwrap();
        fs::write(&path, format!("{words} {}\n{rest}", now + days * day)).unwrap();
    };
    expiring_in(100);
    assert_eq!(load(), first, "100 days are enough");
    expiring_in(80);
    let second = load();
    assert_ne!(second, first, "80 days are not");
    assert_eq!(dev_cert::fingerprint_in(home.path()), second);

    fs::write(&path, "cut off").unwrap();
    let third = load();
    assert_ne!(third, second);
    assert_eq!(dev_cert::fingerprint_in(home.path()), third);
}

#[test]
fn an_unwritable_folder_leaves_it_in_memory() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    // A folder below a file: nobody can make that, not even root.
    let folder = file.join("qsse");
    let tls = ServerTls::dev_cert_in(&folder).unwrap();
    assert!(tls.fingerprint().is_some());
    assert_eq!(dev_cert::fingerprint_in(&folder), None);
}

#[tokio::test]
async fn a_client_follows_a_server_to_its_next_certificate_and_to_no_other() {
    let home = tempfile::tempdir().unwrap();
    let trust = ClientTls::local_in(home.path());
    let client = ClientEndpoint::bind(support::loopback()).unwrap();
    let config = TransportConfig::client();
    let connect = async |tls: &ServerTls| {
        let server =
            ServerEndpoint::bind(support::loopback(), tls, &TransportConfig::server()).unwrap();
        support::serve(&server);
        let attempt = client.connect(server.local_addr(), "localhost", &trust, &config);
        support::soon("an answer", attempt).await
    };
    let refused = |result: Result<_, ConnectError>| {
        assert!(matches!(
            result,
            Err(ConnectError::CertificateRefused { .. })
        ));
    };
    // Trust was set up before there was any.
    let first = ServerTls::dev_cert_in(home.path()).unwrap();
    connect(&first).await.unwrap();
    fs::remove_file(dev_cert::path_in(home.path())).unwrap();
    refused(connect(&first).await.map(drop));
    let second = ServerTls::dev_cert_in(home.path()).unwrap();
    connect(&second).await.unwrap();
    refused(connect(&first).await.map(drop));
}

#[tokio::test]
async fn clients_of_http3_get_another_certificate_and_all_others_the_same_as_ever() {
    let home = tempfile::tempdir().unwrap();
    let tls = ServerTls::dev_cert_in(home.path()).unwrap();
    let tls = tls.with_alpn(["qsse/1", "h3"]);
    let own = tls.fingerprint().unwrap();
    let for_browsers = tls.browser_fingerprints();
    assert_eq!(for_browsers.len(), 2);
    assert!(!for_browsers.contains(&own) && for_browsers[0] != for_browsers[1]);
    // Another server of this user has the same.
    let other = ServerTls::dev_cert_in(home.path()).unwrap();
    assert_eq!(other.browser_fingerprints(), for_browsers);

    let server =
        ServerEndpoint::bind(support::loopback(), &tls, &TransportConfig::server()).unwrap();
    support::serve(&server);
    let client = ClientEndpoint::bind(support::loopback()).unwrap();
    let config = TransportConfig::client();
    let connect = async |trust: ClientTls, protocols: &[&str]| {
        let trust = trust.with_alpn(protocols.iter().copied());
        let attempt = client.connect(server.local_addr(), "localhost", &trust, &config);
        support::soon("an answer", attempt).await
    };
    let by_file = ClientTls::roots_pem_file(dev_cert::path_in(home.path())).unwrap();
    for trust in [ClientTls::local_in(home.path()), by_file] {
        connect(trust.clone(), &["qsse/1"]).await.unwrap();
        connect(trust, &["h3"]).await.unwrap();
    }
    let pinned = |fingerprint| ClientTls::pinned([fingerprint]);
    connect(pinned(own), &["qsse/1", "h3"]).await.unwrap();
    connect(pinned(for_browsers[0]), &["h3"]).await.unwrap();
    assert!(connect(pinned(own), &["h3"]).await.is_err());
    assert!(connect(pinned(for_browsers[1]), &["h3"]).await.is_err());
    // A certificate that was given is the one for all.
    let pem = std::fs::read(dev_cert::path_in(home.path())).unwrap();
    let given = ServerTls::pem(&pem, &pem).unwrap();
    assert_eq!(given.browser_fingerprints(), []);
}
