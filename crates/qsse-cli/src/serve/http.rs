//! The program's server for HTTP clients.

use std::net::SocketAddr;

use anyhow::Result;
use qsse_http::{Config, Http, Listener, Origins};
use qsse_server::{Server, ServerTls, WebTransport};

use crate::exit::{Status, fail};
use crate::settings::{Settings, http_limits};
use crate::text::quoted;

/// Listens for HTTP clients, if the settings say so.
///
/// # Errors
/// The address cannot be used.
pub(crate) async fn bind_http(settings: &Settings, tls: &ServerTls) -> Result<Option<Listener>> {
    let Some(address) = settings.get::<SocketAddr>("http") else {
        return Ok(None);
    };
    let listen = settings.get::<SocketAddr>("listen");
    // The UDP port of that number is then the one of qsse/1.
    let is_taken = listen.is_some_and(|own| own.port() == address.port() && own.port() != 0);
    let bound = if settings.on("http_plain") {
        Listener::plain(address).await
    } else if settings.on("http_tcp_only") || is_taken {
        Listener::tls(address, tls).await
    } else {
        Listener::tls_and_http3(address, tls).await
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

/// Returns how to subscribe and publish with curl.
pub(crate) fn curl(
    settings: &Settings,
    address: SocketAddr,
    pattern: &str,
    topic: &str,
    by_token: bool,
) -> String {
    let plain = settings.on("http_plain") || address.ip().is_loopback();
    let scheme = if plain { "http" } else { "https" };
    let host = match address.ip().is_unspecified() {
        true => format!("HOST:{}", address.port()),
        false => address.to_string(),
    };
    let token = if by_token {
        " -H 'Authorization: Bearer TOKEN'"
    } else {
        ""
    };
    format!(
        "with curl    curl -N{token} {}\n             curl{token} -d 'hello, world' {}\n",
        quoted(&format!("{scheme}://{host}/events?topic={pattern}")),
        quoted(&format!("{scheme}://{host}/publish/{topic}")),
    )
}
