//! [`Reload`]: reads certificates, tokens and settings again while the server runs.
//!
//! Everything is read and checked first. Only if all of it is right is anything replaced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use qsse_admin::{AuditFile, Reloaded};
use qsse_auth::Reloadable;
use qsse_http::ListenerTls;
use qsse_server::{Server, ServerTls};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tracing::Level;

use super::access::Access;
use super::certificate::reloaded;
use super::memory::limited_config;
use crate::console::message;
use crate::exit::usage;
use crate::logging;
use crate::settings::{Settings, TABLE, server_config};

/// The settings that have an effect without a restart. Files that they name are read again, too.
const LIVE: &[&str] = &[
    "log_level",
    "cert",
    "key",
    "tokens",
    "open",
    "jwt_key",
    "jwt_algorithm",
    "jwt_jwks",
    "jwt_issuer",
    "jwt_audience",
    "jwt_claim",
    "jwt_leeway",
    "jwt_refresh",
    "jwt_no_expiry",
    "mtls_ca",
    "mtls_crl",
    "auth_callback",
    "auth_cache",
    "auth_ca",
    "drain_timeout",
    "limits.memory",
    "limits.subscriptions",
    "limits.starts",
    "limits.wildcards",
    "limits.patterns",
    "limits.publishers",
    "limits.hello_timeout",
    "limits.frame_timeout",
    "limits.heartbeat",
    "limits.refusals",
    "limits.retry_after",
    "limits.principal_connections",
    "limits.principal_subscriptions",
    "limits.principal_patterns",
    "limits.principal_publishes",
    "limits.principal_bytes",
    "limits.network_connections",
    "limits.network_subscriptions",
    "limits.network_patterns",
    "limits.network_publishes",
    "limits.network_bytes",
];

/// The settings that name files whose contents matter.
const FILES: &[&str] = &[
    "cert", "key", "tokens", "jwt_key", "jwt_jwks", "mtls_ca", "mtls_crl", "auth_ca",
];

/// The settings of the certificate, whose files are looked at while the server runs.
const CERTIFICATE: [&str; 4] = ["cert", "key", "mtls_ca", "mtls_crl"];

/// How often the files of the certificate are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Reads the settings of the command line, the environment and the file.
pub(crate) type Reread = Box<dyn Fn() -> Result<Settings> + Send + Sync>;

/// What a reload reads and replaces.
pub(crate) struct Reload {
    reread: Reread,
    server: Server,
    authenticator: Reloadable,
    audit: Option<AuditFile>,
    /// The certificate for HTTP clients.
    http: Option<ListenerTls>,
    in_force: Mutex<InForce>,
}

struct InForce {
    settings: Settings,
    /// Whether programs of this machine may do more than others.
    is_local: bool,
    files: Files,
}

/// The SHA-256 of each file, by its setting; `None` for one that cannot be read.
type Files = BTreeMap<&'static str, Option<[u8; 32]>>;

impl Reload {
    pub(crate) fn new(
        reread: Reread,
        server: Server,
        authenticator: Reloadable,
        audit: Option<AuditFile>,
        settings: Settings,
        is_local: bool,
        http: Option<ListenerTls>,
    ) -> Arc<Self> {
        let files = files(&settings);
        let in_force = Mutex::new(InForce {
            settings,
            is_local,
            files,
        });
        Arc::new(Self {
            reread,
            server,
            authenticator,
            audit,
            http,
            in_force,
        })
    }

    /// Reads everything again and replaces what differs, or nothing. Says in the log and in the
    /// metrics what came of it.
    ///
    /// # Errors
    /// Something is wrong: everything stays as it was.
    pub(crate) async fn run(self: &Arc<Self>) -> Result<Reloaded, String> {
        // Also if the reload fails: a tool has moved the file away.
        if let Some(audit) = &self.audit {
            audit.reopen();
        }
        let reload = Arc::clone(self);
        // It reads files.
        let done = tokio::task::spawn_blocking(move || reload.replace_all()).await;
        let done = done.map_err(|_| "the reload panicked".to_owned());
        let done = done.and_then(|done| done.map_err(|error| format!("{error:#}")));
        self.server.count_reload(done.is_ok());
        match &done {
            Ok(reloaded) => {
                message(
                    Level::INFO,
                    format_args!("reloaded: {}", list(&reloaded.changed)),
                );
                if !reloaded.needs_restart.is_empty() {
                    let names = list(&reloaded.needs_restart);
                    let text = format_args!("these settings differ and need a restart: {names}");
                    message(Level::WARN, text);
                }
            }
            Err(reason) => message(
                Level::ERROR,
                format_args!("nothing was reloaded, everything stays as it was: {reason}"),
            ),
        }
        done
    }

    /// Returns how long clients may take to read to the end.
    pub(crate) fn drain_timeout(&self) -> Duration {
        server_config(&self.lock().settings).drain_timeout
    }

    fn replace_all(&self) -> Result<Reloaded> {
        let mut in_force = self.lock();
        let settings = (self.reread)()?;
        let files = files(&settings);
        let access = Access::from_settings(&settings)?;
        let is_local = access.is_local();
        if in_force.settings.is_set("http") && in_force.is_local != is_local {
            let reason =
                "with --http, a restart is needed to begin or to cease to trust this machine";
            return Err(usage(reason));
        }
        // It runs on a thread that may block.
        let authenticator = Handle::current().block_on(access.authenticator())?;
        let tls = reloaded(&settings)?;
        let (changed, needs_restart) = differences(&in_force, &settings, &files);
        // This may fail, so it comes first.
        let differs = |key: &str| changed.iter().any(|changed| changed == key);
        if CERTIFICATE.iter().any(|key| differs(key))
            && let Some(tls) = tls
        {
            self.set_tls(tls)?;
        }
        // The settings were checked when they were loaded.
        self.server.set_limits(&limited_config(&settings))?;
        logging::set_level(settings.text("log_level"));
        self.authenticator.replace(authenticator);
        self.server.recheck_clients();
        *in_force = InForce {
            settings,
            is_local,
            files,
        };
        Ok(Reloaded {
            changed,
            needs_restart,
        })
    }

    fn set_tls(&self, tls: ServerTls) -> Result<()> {
        if let Some(http) = &self.http {
            http.replace(&tls);
        }
        Ok(self.server.set_tls(tls)?)
    }

    /// Looks at the files of the certificate until the future is dropped, and loads it when they
    /// have changed. If they do not fit each other, as when only one was written so far, the old
    /// certificate stays until they change again.
    pub(crate) async fn watch_certificate(self: Arc<Self>) {
        let look = |reload: &Arc<Self>| {
            let reload = Arc::clone(reload);
            tokio::task::spawn_blocking(move || reload.stamps())
        };
        let mut seen = look(&self).await.unwrap_or_default();
        loop {
            tokio::time::sleep(LOOK).await;
            let Ok(stamps) = look(&self).await else {
                continue;
            };
            if stamps == seen {
                continue;
            }
            seen = stamps;
            let reload = Arc::clone(&self);
            let loaded = tokio::task::spawn_blocking(move || reload.replace_certificate()).await;
            match loaded {
                Ok(Ok(false)) | Err(_) => {}
                Ok(Ok(true)) => {
                    self.server.count_reload(true);
                    message(
                        Level::INFO,
                        "the certificate's files have changed: reloaded",
                    );
                }
                Ok(Err(error)) => {
                    self.server.count_reload(false);
                    let text = format_args!(
                        "the certificate's files have changed, the old one stays in use: {error:#}"
                    );
                    message(Level::ERROR, text);
                }
            }
        }
    }

    /// Replaces the certificate if its files differ. Returns whether they do.
    fn replace_certificate(&self) -> Result<bool> {
        let mut in_force = self.lock();
        let files = files(&in_force.settings);
        let same = CERTIFICATE
            .iter()
            .all(|key| in_force.files.get(key) == files.get(key));
        if same {
            return Ok(false);
        }
        let Some(tls) = reloaded(&in_force.settings)? else {
            return Ok(false);
        };
        self.set_tls(tls)?;
        for key in CERTIFICATE {
            if let Some(hash) = files.get(key) {
                in_force.files.insert(key, *hash);
            }
        }
        Ok(true)
    }

    /// Returns what tells without reading that the files of the certificate have changed.
    fn stamps(&self) -> Vec<Option<Stamp>> {
        let in_force = self.lock();
        let names = CERTIFICATE.map(|key| in_force.settings.text(key).to_owned());
        drop(in_force);
        let named = names.iter().filter(|name| !name.is_empty());
        named.map(|name| Stamp::of(Path::new(name))).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, InForce> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What changes with a file.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    /// Where a link leads to, as tools that renew certificates change the link.
    target: Option<PathBuf>,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&found);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self {
            modified: found.modified().ok(),
            bytes: found.len(),
            target: std::fs::canonicalize(path).ok(),
            inode,
        })
    }
}

/// Returns the settings that differ: those that have an effect now, and those that do not.
fn differences(before: &InForce, settings: &Settings, files: &Files) -> (Vec<String>, Vec<String>) {
    let differs = |key: &str| {
        let old = before.settings.value(key);
        old.texts != settings.value(key).texts || before.files.get(key) != files.get(key)
    };
    let keys = TABLE.iter().map(|setting| setting.key);
    let different = keys.filter(|key| differs(key)).map(str::to_owned);
    different.partition(|key| LIVE.contains(&key.as_str()))
}

fn files(settings: &Settings) -> Files {
    let named = FILES.iter().filter(|key| settings.is_set(key));
    let hash = |key: &&'static str| {
        let bytes = std::fs::read(settings.text(key)).ok();
        (*key, bytes.map(|bytes| Sha256::digest(bytes).into()))
    };
    named.map(hash).collect()
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nothing has changed".into(),
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_principals_and_networks_need_no_restart() {
        let keys = TABLE.iter().map(|setting| setting.key);
        let of_owner =
            |key: &&str| key.starts_with("limits.principal_") || key.starts_with("limits.network_");
        for key in keys.filter(of_owner) {
            assert!(LIVE.contains(&key), "{key}");
        }
    }
}
