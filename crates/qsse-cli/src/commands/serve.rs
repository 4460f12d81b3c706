//! `qsse serve`: runs a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;
use qsse_admin::{Admin, AuditFile, Listener};
use qsse_auth::Reloadable;
use qsse_client::ServerUrl;
use qsse_http::Listener as HttpListener;
use qsse_server::{ByGrants, Server, UdpBuffers, WebTransport};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::Level;

use crate::console;
use crate::exit::{Status, fail};
use crate::serve::access::Access;
use crate::serve::admin::{bind_admin, open_audit};
use crate::serve::certificate::Certificate;
use crate::serve::http::{bind_http, curl, routes, sessions};
use crate::serve::memory;
use crate::serve::reload::{Reload, Reread};
use crate::settings::Settings;
use crate::signals::{Hangup, Signals};
use crate::text::{self, quoted};

/// Run a server
#[derive(Args)]
#[command(after_help = "\
Examples:
  qsse serve
  qsse serve --topics people,'ride.*' --metrics 127.0.0.1:9090
  qsse serve --store /var/lib/qsse
  qsse serve --listen 0.0.0.0:4242 --cert cert.pem --key key.pem --tokens tokens.toml

On loopback, anyone may subscribe and programs on this machine may publish, unless the flags under Access say
otherwise. Elsewhere, one of these flags is needed. A tokens file is TOML:
  [[token]]
  token = \"…\"
  subscribe = [\"ride.*\"]
  publish = [\"ride.*\"]

SIGINT or SIGTERM drains: clients can read to the end. A second one ends at once.
SIGHUP reads certificates, tokens and some settings again.")]
pub(crate) struct Options {}

pub(crate) async fn run(_: Options, settings: Settings, reread: Reread) -> Result<Status> {
    let access = Access::from_settings(&settings)?;
    let certificate = Certificate::from_settings(&settings)?;
    let signals = Signals::watch()?;
    let hangup = Hangup::watch()?;
    let metrics = bind_metrics(&settings).await?;
    let admin = bind_admin(&settings).await?;
    let http = bind_http(&settings, &certificate.tls).await?;
    let is_local = access.is_local();
    let audit = open_audit(&settings)?;
    let by_token = access.by_token();
    let described = access.describe(settings.need("listen"));
    let authenticator = Reloadable::new(access.authenticator().await?);
    let sessions = sessions(&settings, is_local);
    let server = start(
        &settings,
        &certificate,
        &authenticator,
        sessions,
        audit.as_ref(),
    )
    .await?;

    // Scripts wait for these lines. All sockets are bound now.
    let ready = ready(&server, metrics.as_ref(), admin.as_ref(), http.as_ref())?;
    // It does not matter whether anybody reads them.
    let _ = console::stdout().try_write(&mut ready.into_bytes());
    let mut hints = certificate.describe();
    hints.push_str(&format!("access       {described}\n{}\n", kept(&settings)));
    hints.push_str(&commands(
        &settings,
        server.local_addr(),
        &certificate,
        by_token,
    ));
    if let Some(http) = &http {
        let (pattern, topic) = shown(&settings);
        let address = http.local_addr()?;
        hints.push_str(&curl(&settings, address, &pattern, &topic, by_token));
    }
    hints.push_str(&clipped(server.udp_buffers()));
    console::tell(hints.trim_end());

    let http_certificate = http.as_ref().and_then(HttpListener::certificate);
    let http = http.map(|listener| {
        let routes = routes(&settings, is_local, server.clone());
        tokio::spawn(listener.serve(server.clone(), routes.router()))
    });
    let reload = Reload::new(
        reread,
        server.clone(),
        authenticator,
        audit.clone(),
        settings,
        is_local,
        http_certificate,
    );
    let drain = Arc::new(Notify::new());
    let mut tasks = JoinSet::new();
    if let Some(metrics) = metrics {
        let probes = qsse_admin::probes(server.clone());
        tasks.spawn(qsse_admin::serve(metrics, probes));
    }
    if let Some(admin) = admin {
        tasks.spawn(admin.serve(administration(&server, &reload, &drain)));
    }
    tasks.spawn(memory::return_to_system(server.clone()));
    tasks.spawn(Arc::clone(&reload).watch_certificate());
    tasks.spawn(reload_on(hangup, Arc::clone(&reload)));
    tokio::select! {
        () = signals.first() => {}
        () = drain.notified() => {}
        why = server.closed() => return Err(anyhow!("the server has ended by itself: {why:?}")),
    }
    console::message(Level::INFO, "draining; press Ctrl-C again to exit now");
    server.shutdown(reload.drain_timeout()).await;
    if let Some(mut http) = http
        && timeout(HTTP_END, &mut http).await.is_err()
    {
        http.abort();
    }
    tasks.shutdown().await;
    if let Some(audit) = audit {
        audit.flush(AUDIT_FLUSH);
    }
    Ok(Status::Done)
}

/// Starts the server that the settings describe.
async fn start(
    settings: &Settings,
    certificate: &Certificate,
    authenticator: &Reloadable,
    sessions: Option<WebTransport>,
    audit: Option<&AuditFile>,
) -> Result<Server> {
    let mut builder = Server::bind(settings.need::<SocketAddr>("listen"))
        .config(memory::limited_config(settings))
        .authenticator(authenticator.clone())
        .authorizer(ByGrants)
        .tls(certificate.tls.clone());
    if settings.is_set("topics") {
        builder = builder.topics(&settings.value("topics").texts);
    }
    if let Some(sessions) = sessions {
        builder = builder.web_transport(sessions);
    }
    if let Some(audit) = audit {
        builder = builder.audit(audit.clone());
    }
    let store = settings.text("store");
    if !store.is_empty() {
        builder = builder.store(store);
    }
    Ok(builder.await?)
}

/// Returns one line for each socket that is bound.
fn ready(
    server: &Server,
    metrics: Option<&TcpListener>,
    admin: Option<&Listener>,
    http: Option<&HttpListener>,
) -> Result<String> {
    let mut lines = format!("listening on {}\n", server.local_addr());
    if let Some(metrics) = metrics {
        lines.push_str(&format!("metrics on {}\n", metrics.local_addr()?));
    }
    if let Some(admin) = admin {
        lines.push_str(&format!("admin on {}\n", admin.address()?));
    }
    if let Some(http) = http {
        lines.push_str(&format!("http on {}\n", http.local_addr()?));
    }
    Ok(lines)
}

/// How long HTTP clients may take to read what was written when the server ended.
const HTTP_END: Duration = Duration::from_secs(1);

/// How long the last lines of the audit log may take.
const AUDIT_FLUSH: Duration = Duration::from_secs(1);

/// Answers administrators as the program does.
fn administration(server: &Server, reload: &Arc<Reload>, drain: &Arc<Notify>) -> Admin {
    let (reload, drain) = (Arc::clone(reload), Arc::clone(drain));
    Admin::new(server.clone())
        .on_reload(move || {
            let reload = Arc::clone(&reload);
            async move { reload.run().await }
        })
        .on_drain(move || drain.notify_one())
}

/// Reloads at each SIGHUP.
async fn reload_on(mut hangup: Hangup, reload: Arc<Reload>) {
    loop {
        hangup.next().await;
        // It says itself what came of it.
        let _ = reload.run().await;
    }
}

async fn bind_metrics(settings: &Settings) -> Result<Option<TcpListener>> {
    let Some(address) = settings.get::<SocketAddr>("metrics") else {
        return Ok(None);
    };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) => Err(fail(
            Status::Listen,
            format!("cannot listen on {address} for metrics: {error}"),
        )),
    }
}

/// Returns commands to subscribe and publish, ready to paste.
fn commands(
    settings: &Settings,
    address: SocketAddr,
    certificate: &Certificate,
    by_token: bool,
) -> String {
    let program = text::program();
    let is_default = settings_default() == address.to_string();
    let local = if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() {
            "127.0.0.1"
        } else {
            "[::1]"
        };
        format!("{loopback}:{}", address.port())
    } else {
        address.to_string()
    };
    let server = if certificate.kept_at().is_some() {
        if is_default {
            String::new()
        } else {
            format!(" -s {}", quoted(&local))
        }
    } else {
        format!(" -s {}", quoted(&pinned(&local, certificate)))
    };
    let token = if by_token { " --token TOKEN" } else { "" };
    let (pattern, topic) = shown(settings);
    let mut out = format!(
        "subscribe    {program} sub{server}{token} {}\npublish      {program} pub{server}{token} {} 'hello, world'\n",
        quoted(&pattern),
        quoted(&topic),
    );
    if !address.ip().is_loopback() {
        let host = if address.ip().is_unspecified() {
            "HOST".into()
        } else {
            local
        };
        let host = host.replace("HOST", &format!("HOST:{}", address.port()));
        out.push_str(&format!(
            "from afar    qsse sub -s {}{token} {}\n",
            quoted(&pinned(&host, certificate)),
            quoted(&pattern)
        ));
    }
    out
}

/// Returns a pattern and a topic that may be used.
fn shown(settings: &Settings) -> (String, String) {
    match settings.value("topics").texts.first() {
        Some(pattern) => (pattern.clone(), pattern.replace('*', "7")),
        None => ("*".into(), "hello".into()),
    }
}

/// Describes where events are stored, and what an acknowledgement means.
fn kept(settings: &Settings) -> String {
    match (settings.text("store"), settings.text("acknowledge")) {
        ("", _) => "events       in memory: a restart begins a new log".into(),
        (store, "memory") => format!(
            "events       in {store}, acknowledged in memory: a crash may lose the last ones"
        ),
        (store, "written") => format!(
            "events       in {store}, acknowledged when written: a crash of the machine may lose the last ones"
        ),
        (store, _) => format!("events       in {store}, acknowledged when synced"),
    }
}

fn settings_default() -> &'static str {
    crate::settings::Setting::find("server").map_or("", |setting| setting.default)
}

/// Returns the server's address, with the fingerprint unless a known authority may have signed the
/// certificate.
fn pinned(server: &str, certificate: &Certificate) -> String {
    let fingerprint = certificate
        .fingerprint
        .map(|fingerprint| fingerprint.to_hex());
    match (fingerprint, server.parse::<ServerUrl>()) {
        (Some(hex), _) => format!("qsse://{server}?fingerprint={hex}"),
        (None, Ok(url)) => url.to_string(),
        (None, Err(_)) => server.into(),
    }
}

fn clipped(buffers: Option<UdpBuffers>) -> String {
    let Some(buffers) = buffers.filter(UdpBuffers::clipped) else {
        return String::new();
    };
    let UdpBuffers {
        send,
        receive,
        requested,
        ..
    } = buffers;
    let kib = |bytes: usize| bytes / 1024;
    format!(
        "udp buffers  {} KiB to send and {} KiB to receive, of {} KiB requested: bursts to many subscribers may lose packets; try\n\
         {:13}sudo sysctl -w net.core.wmem_max={requested} net.core.rmem_max={requested}\n",
        kib(send),
        kib(receive),
        kib(requested),
        "",
    )
}
