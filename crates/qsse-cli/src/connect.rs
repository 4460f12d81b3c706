//! A client as the settings describe it.

use std::path::Path;

use anyhow::Result;
use qsse_client::tls::ClientTls;
use qsse_client::{Client, Config, Connect, ConnectionState, Dialect, ServerUrl};
use tracing::Level;

use crate::console::message;
use crate::exit::{usage, usage_because};
use crate::settings::{Settings, client_config};

/// A client to be awaited, as the settings describe it.
///
/// # Errors
/// What is wrong with the settings.
pub(crate) fn connect(settings: &Settings) -> Result<Connect> {
    let connect = another(settings)?;
    warn(settings);
    Ok(connect)
}

/// Says on standard error what is dangerous about the settings.
pub(crate) fn warn(settings: &Settings) {
    if trusts_anybody(settings).unwrap_or(false) {
        message(Level::WARN, "--insecure: anybody who answers is trusted");
    }
}

/// Whether `insecure` is on, and nothing stronger says whom to trust.
///
/// # Errors
/// When both are said at the same place.
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

/// [`connect`] without a warning, for one client of many.
///
/// # Errors
/// What is wrong with the settings.
pub(crate) fn another(settings: &Settings) -> Result<Connect> {
    with(settings, client_config(settings))
}

/// [`connect`] for one that publishes under this name, unless it has a token: what the token stands for may publish from anywhere.
///
/// # Errors
/// What is wrong with the settings.
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
    Ok(match settings.either("token", "token_file")? {
        Some("token") => connect.token(settings.text("token")),
        Some(_) => {
            let path = settings.text("token_file").to_owned();
            token_in(Path::new(&path))?;
            // Read each time, so that a newer token is found after a loss of the connection.
            connect.token_fn(move || {
                let token = token_in(Path::new(&path)).map_err(|error| format!("{error:#}"));
                async move { token }
            })
        }
        None => connect,
    })
}

/// Looks at the files that the settings of a client name.
///
/// # Errors
/// What is wrong with one, or with which of them are set.
pub(crate) fn check_files(settings: &Settings) -> Result<()> {
    let _ = another(settings)?;
    if settings.is_set("ca") {
        let ca = ClientTls::roots_pem_file(settings.text("ca"));
        ca.map_err(|error| usage_because("cannot use --ca", error))?;
    }
    Ok(())
}

/// Refuses what the Go library's protocol lacks, where the settings ask for that protocol.
///
/// # Errors
/// When they do.
pub(crate) fn lacking_in_go(settings: &Settings, what: &str) -> Result<()> {
    if settings.need::<Dialect>("dialect") == Dialect::Go {
        return Err(usage(format!(
            "--dialect go: the Go library's protocol has no {what}"
        )));
    }
    Ok(())
}

/// The token in a file: its text without white space around it.
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

/// Tells on standard error when the connection is lost and when it is back, until the client ends.
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
