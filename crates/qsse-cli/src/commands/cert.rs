//! `qsse cert`: the development certificate, and the fingerprints of others.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use qsse_client::{ServerUrl, TransportConfig};
use qsse_server::Code;
use qsse_server::transport::ClientEndpoint;
use qsse_server::transport::rustls::pki_types::CertificateDer;
use qsse_server::transport::rustls::pki_types::pem::PemObject;
use qsse_server::transport::tls::{ClientTls, Fingerprint, ServerTls, dev_cert};

use crate::console::print_blocking;
use crate::exit::{Status, fail, usage, usage_because};

/// Make or show the development certificate, or show a fingerprint
#[derive(Args)]
#[command(after_help = "\
Examples:
  qsse cert                                  the development certificate; makes it if there is none
  qsse cert --file server.pem                the fingerprint of a certificate in a file
  qsse cert --server events.example.org      the fingerprint that a server presents

A fingerprint from the network proves nothing: compare it with one that you received another way.")]
pub(crate) struct Options {
    /// Show the fingerprint of the first certificate in this PEM file
    #[arg(long, value_name = "FILE", conflicts_with = "server", value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Show the fingerprint of the certificate that this server presents
    #[arg(short, long, value_name = "URL")]
    server: Option<ServerUrl>,
}

pub(crate) async fn run(options: Options) -> Result<Status> {
    let shown = match (options.file, options.server) {
        (Some(file), _) => format!("fingerprint  {}\n", of_file(&file)?),
        (None, Some(server)) => format!("fingerprint  {}\n", of_server(&server).await?),
        (None, None) => own()?,
    };
    print_blocking(&shown)?;
    Ok(Status::Done)
}

/// Describes the development certificate.
fn own() -> Result<String> {
    let tls = ServerTls::dev_cert()?;
    let fingerprint = tls.fingerprint().context("the certificate was made here")?;
    let path = dev_cert::path().filter(|_| dev_cert::fingerprint() == Some(fingerprint));
    let path = path.ok_or_else(|| {
        fail(
            Status::Other,
            "the certificate cannot be stored: make the state folder writable or set QSSE_STATE_DIR",
        )
    })?;
    let mut shown = format!(
        "certificate  {}\nfingerprint  {fingerprint}\n",
        path.display()
    );
    if let Some(expires) = expiry(&path) {
        shown.push_str(&format!("valid until  {expires}\n"));
    }
    Ok(shown)
}

/// Returns the expiry of the development certificate in this file, from its first line.
pub(crate) fn expiry(path: &Path) -> Option<String> {
    let pem = std::fs::read_to_string(path).ok()?;
    let (_, seconds) = pem.lines().next()?.rsplit_once(' ')?;
    let expires = UNIX_EPOCH.checked_add(Duration::from_secs(seconds.parse().ok()?))?;
    Some(humantime::format_rfc3339_seconds(expires).to_string())
}

fn of_file(path: &Path) -> Result<Fingerprint> {
    let shown = path.display();
    let pem = std::fs::read(path)
        .map_err(|error| usage_because(format_args!("cannot read {shown}"), error))?;
    let certificate = CertificateDer::from_pem_slice(&pem).map_err(|_| {
        usage(format!(
            "no certificate in {shown}: expected a section BEGIN CERTIFICATE"
        ))
    })?;
    Ok(Fingerprint::of(&certificate))
}

async fn of_server(server: &ServerUrl) -> Result<Fingerprint> {
    let host = server.host();
    let addresses = tokio::net::lookup_host((host, server.port()));
    let addresses = addresses.await.map_err(|error| {
        fail(
            Status::Unreachable,
            format!("cannot look up the address of {host}: {error}"),
        )
    })?;
    let mut last = None;
    for address in addresses {
        match shown_by(address, server.host()).await {
            Ok(fingerprint) => return Ok(fingerprint),
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| anyhow!("{} has no address", server.host()));
    Err(fail(
        Status::Unreachable,
        format!("cannot read the certificate of {server}: {error:#}"),
    ))
}

/// Reads the certificate. Sends nothing to the server, which is not verified.
async fn shown_by(address: std::net::SocketAddr, name: &str) -> Result<Fingerprint> {
    let config = TransportConfig::client();
    let endpoint = ClientEndpoint::bind_for(address, &config)?;
    // Servers of the Go library are reached too.
    let tls = ClientTls::insecure().with_alpn(["qsse/1", "PROTOCOL_QUIC"]);
    let connection = endpoint.connect(address, name, &tls, &config).await?;
    let certificates = connection.peer_certificates().unwrap_or_default();
    connection.close(Code::NO_ERROR, "only looking");
    let first = certificates
        .first()
        .context("the server presented no certificate")?;
    Ok(Fingerprint::of(first))
}
