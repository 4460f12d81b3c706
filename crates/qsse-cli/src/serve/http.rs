//! The program's server for HTTP clients.

use std::net::SocketAddr;

use anyhow::Result;
use qsse_http::{Config, Http, Listener, Origins};
use qsse_server::{Server, ServerTls, WebTransport};

use crate::exit::{Status, fail};
use crate::settings::{Settings, http_limits};

/// Listens for HTTP clients, if the settings say so.
///
/// # Errors
/// The address cannot be used.
pub(crate) async fn bind_http(settings: &Settings, tls: &ServerTls) -> Result<Option<Listener>> {
    let Some(address) = settings.get::<SocketAddr>("http") else {
        return Ok(None);
    };
    let bound = match settings.on("http_plain") {
        true => Listener::plain(address).await,
        false => Listener::tls(address, tls).await,
    };
    let listener = bound.map_err(|error| fail(Status::Listen, error.to_string()))?;
    let listener = listener.limits(http_limits(settings));
    Ok(Some(match address.ip().is_loopback() {
        true => listener.and_plain(),
        false => listener,
    }))
}

/// Returns which sessions of WebTransport are let in: those of the pages that may use HTTP; none
/// without HTTP.
pub(crate) fn sessions(settings: &Settings, is_local: bool) -> Option<WebTransport> {
    let rules = WebTransport::default()
        .origins(origins(settings))
        .local_only(is_local);
    settings.is_set("http").then_some(rules)
}

fn origins(settings: &Settings) -> Origins {
    let origins = &settings.value("http_origins").texts;
    match origins.as_slice() {
        [] => Origins::None,
        origins if origins.iter().any(|origin| origin == "*") => Origins::Any,
        origins => Origins::These(origins.to_vec()),
    }
}

/// Returns what answers HTTP clients, as the settings say. `is_local` says whether programs of this
/// machine may do more than others.
pub(crate) fn routes(settings: &Settings, is_local: bool, server: Server) -> Http {
    let mut config = Config::default()
        .origins(origins(settings))
        .query_token(settings.on("http_query_token"))
        .local_only(is_local);
    config.cookie = Some(settings.text("http_cookie"))
        .filter(|name| !name.is_empty())
        .map(Into::into);
    Http::new(server).config(config)
}
