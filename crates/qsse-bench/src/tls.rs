//! One certificate for all systems, over QUIC and over TCP.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use qsse_transport::tls::{ClientTls, Fingerprint, ServerTls, provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The name in the certificate.
pub(crate) const NAME: &str = "localhost";

/// Files of the folder.
pub(crate) const CERTIFICATE: &str = "certificate.pem";
/// The key that belongs to it.
pub(crate) const KEY: &str = "key.pem";

/// Makes a certificate in `folder`.
pub(crate) fn make(folder: &Path) -> Result<()> {
    let names = [NAME.to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names)?;
    std::fs::write(folder.join(CERTIFICATE), made.cert.pem())?;
    std::fs::write(folder.join(KEY), made.signing_key.serialize_pem())?;
    Ok(())
}

/// The server's side of QUIC: as the library does it, or with tickets.
pub(crate) fn quic_server(folder: &Path, resumed: bool) -> Result<ServerTls> {
    Ok(match resumed {
        false => ServerTls::pem_files(folder.join(CERTIFICATE), folder.join(KEY))?,
        true => ServerTls::rustls(server(folder, true)?)?,
    })
}

/// The client's side of QUIC: as the library does it, or with a session that it takes up again.
pub(crate) fn quic_client(folder: &Path, resumed: bool) -> Result<ClientTls> {
    Ok(match resumed {
        false => ClientTls::pinned([fingerprint(folder)?]),
        true => ClientTls::rustls(client(folder, true)?)?,
    })
}

/// How clients know the certificate.
pub(crate) fn fingerprint(folder: &Path) -> Result<Fingerprint> {
    Ok(Fingerprint::of(&certificate(folder)?))
}

/// The server's side of TCP, and of anything with tickets.
pub(crate) fn server(folder: &Path, resumed: bool) -> Result<ServerConfig> {
    let key = PrivateKeyDer::from_pem_file(folder.join(KEY)).context("the key")?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate(folder)?], key)?;
    config.send_tls13_tickets = 0;
    if resumed {
        config.send_tls13_tickets = 1;
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    }
    Ok(config)
}

/// The client's side of TCP, and of anything with tickets. Each has a store of sessions of its own.
pub(crate) fn client(folder: &Path, resumed: bool) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(folder)?)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(Arc::new(roots))
        .with_no_client_auth();
    if !resumed {
        config.resumption = rustls::client::Resumption::disabled();
    }
    Ok(config)
}

fn certificate(folder: &Path) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(folder.join(CERTIFICATE)).context("the certificate")
}
