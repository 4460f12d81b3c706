//! Makes clients from the settings.

use std::path::Path;

use anyhow::Result;
use qsse_client::tls::ClientTls;
use qsse_client::{Client, Config, Connect, ConnectionState, Dialect, ServerUrl};
use tracing::Level;

use crate::console::message;
use crate::exit::{usage, usage_because};
use crate::settings::{Settings, client_config};

/// Returns the client that the settings describe, to be awaited.
///
/// # Errors
/// A setting is wrong.
pub(crate) fn connect(settings: &Settings) -> Result<Connect> {
    let connect = another(settings)?;
    warn(settings);
    Ok(connect)
}

/// Warns on standard error about dangerous settings.
pub(crate) fn warn(settings: &Settings) {
    if trusts_anybody(settings).unwrap_or(false) {
        message(Level::WARN, "--insecure: anybody who answers is trusted");
    }
}

/// Returns whether `insecure` is on, and no stronger source overrides it.
///
/// # Errors
/// Both are set by the same source.
fn trusts_anybody(settings: &Settings) -> Result<bool> {
    if !settings.on("insecure") {
        return Ok(false);
    }
    for other in ["fingerprint", "ca"] {
        if settings.either("insecure", other)? != Some("insecure") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Does the same as [`connect`] without the warning, for one client of many.
///
/// # Errors
/// A setting is wrong.
pub(crate) fn another(settings: &Settings) -> Result<Connect> {
    with(settings, client_config(settings))
}

/// Does the same as [`connect`] for a publisher of this name. With a token the name is not used,
/// because the token's owner may publish from anywhere.
///
/// # Errors
/// A setting is wrong.
pub(crate) fn publisher(settings: &Settings, name: impl FnOnce() -> String) -> Result<Connect> {
    let mut config = client_config(settings);
    if settings.either("token", "token_file")?.is_none() {
        config.publisher_name = name();
    }
    let connect = with(settings, config)?;
    warn(settings);
    Ok(connect)
}

fn with(settings: &Settings, config: Config) -> Result<Connect> {
    let url: ServerUrl = settings.need("server");
    let mut connect = Client::connect(url).config(config);
    if trusts_anybody(settings)? {
        connect = connect.insecure();
    } else {
        if settings.is_set("ca") {
            connect = connect.ca_file(settings.text("ca"));
        }
        for fingerprint in settings.all("fingerprint") {
            connect = connect.fingerprint(fingerprint);
        }
    }
    match (settings.text("client_cert"), settings.text("client_key")) {
        ("", "") => {}
        ("", _) => return Err(usage("--client-key without --client-cert: give both")),
        (cert, "") => connect = connect.identity_files(cert, cert),
        (cert, key) => connect = connect.identity_files(cert, key),
    }
    Ok(match settings.either("token", "token_file")? {
        Some("token") => connect.token(settings.text("token")),
        Some(_) => {
            let path = settings.text("token_file").to_owned();
            token_in(Path::new(&path))?;
            // The file is read before each connect, so that a new token is used after the
            // connection was lost.
            connect.token_fn(move || {
                let token = token_in(Path::new(&path)).map_err(|error| format!("{error:#}"));
                async move { token }
            })
        }
        None => connect,
    })
}

/// Checks the files that the settings of a client name.
///
/// # Errors
/// A file is wrong, or settings contradict each other.
pub(crate) fn check_files(settings: &Settings) -> Result<()> {
    let _ = another(settings)?;
    if settings.is_set("ca") {
        let ca = ClientTls::roots_pem_file(settings.text("ca"));
        ca.map_err(|error| usage_because("cannot use --ca", error))?;
    }
    Ok(())
}

/// Refuses what the Go library's protocol lacks, if the settings ask for that protocol.
///
/// # Errors
/// They do.
pub(crate) fn lacking_in_go(settings: &Settings, what: &str) -> Result<()> {
    if settings.need::<Dialect>("dialect") == Dialect::Go {
        return Err(usage(format!(
            "--dialect go: the Go library's protocol has no {what}"
        )));
    }
    Ok(())
}

/// Returns the token in a file, without surrounding white space.
fn token_in(path: &Path) -> Result<String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        usage_because(format_args!("cannot read the token file {shown}"), error)
    })?;
    match text.trim() {
        "" => Err(usage(format!("the token file {shown} is empty"))),
        token => Ok(token.into()),
    }
}

/// Reports on standard error when the connection is lost and re-established, until the client ends.
pub(crate) async fn report(client: &Client) {
    let mut states = client.state();
    let mut lost = false;
    while let Some(state) = states.next().await {
        match state {
            ConnectionState::Connected { address, .. } if lost => {
                lost = false;
                message(Level::INFO, format_args!("connected again to {address}"));
            }
            ConnectionState::Reconnecting { reason, .. } if !lost => {
                lost = true;
                message(Level::WARN, format_args!("{reason}; connecting again"));
            }
            _ => {}
        }
    }
}
