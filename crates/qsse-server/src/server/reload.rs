//! What of a server can be replaced while it runs.

use std::sync::Arc;

use qsse_proto::limits::SettingError;
use qsse_transport::tls::{ServerTls, TlsError};

use super::Server;
use crate::audit::{AuditEvent, AuditRecord};
use crate::config::Config;

impl Server {
    /// Presents this certificate to clients that connect from now on. Open connections stay.
    ///
    /// [`url`](Self::url) and [`fingerprint`](Self::fingerprint) then tell of the new one.
    ///
    /// # Errors
    /// It cannot be used for QUIC; the old certificate stays in use.
    pub fn set_tls(&self, tls: ServerTls) -> Result<(), TlsError> {
        let shared = &self.shared;
        let tls = tls.with_alpn(shared.protocols());
        // Under the lock, so that the fingerprint is that of the last one.
        let mut current = shared.tls.lock();
        shared.endpoint.set_tls(&tls)?;
        *current = Some(tls);
        Ok(())
    }

    /// Puts those limits of `config` in force that need no restart, for requests from now on. What
    /// is open stays open.
    ///
    /// These are [`max_subscriptions`](Config#structfield.max_subscriptions),
    /// [`max_wildcards`](Config#structfield.max_wildcards),
    /// [`max_patterns`](Config#structfield.max_patterns),
    /// [`max_decisions`](Config#structfield.max_decisions),
    /// [`principal_limits`](Config#structfield.principal_limits),
    /// [`network_limits`](Config#structfield.network_limits),
    /// [`hello_timeout`](Config#structfield.hello_timeout),
    /// [`auth_timeout`](Config#structfield.auth_timeout) and
    /// [`retry_after`](Config#structfield.retry_after) for everything that comes, and
    /// [`max_publishers`](Config#structfield.max_publishers),
    /// [`max_starts`](Config#structfield.max_starts),
    /// [`control_burst`](Config#structfield.control_burst),
    /// [`control_rate`](Config#structfield.control_rate),
    /// [`refusal_burst`](Config#structfield.refusal_burst),
    /// [`refusal_rate`](Config#structfield.refusal_rate),
    /// [`frame_timeout`](Config#structfield.frame_timeout),
    /// [`heartbeat`](Config#structfield.heartbeat) and
    /// [`drain_timeout`](Config#structfield.drain_timeout) for new connections and subscriptions.
    /// [`log.memory_bytes`](qsse_log::Config#structfield.memory_bytes) counts at once: memory beyond
    /// it is released. Everything else of `config` is ignored.
    ///
    /// # Errors
    /// A setting of `config` is out of its range; nothing was changed.
    pub fn set_limits(&self, config: &Config) -> Result<(), SettingError> {
        config.check()?;
        let memory = config.log.memory_bytes.unwrap_or(usize::MAX);
        self.shared.log.budget().set_limit(memory);
        let mut limits = self.shared.limits.write();
        *limits = Arc::new(limits.with_limits_of(config));
        Ok(())
    }

    /// Counts a reload of the program that holds the server, in the metrics `reloads` and
    /// `reload_failures`, and records it for an audit.
    pub fn count_reload(&self, succeeded: bool) {
        self.audit(&AuditRecord::new(AuditEvent::Reload, succeeded));
        let metrics = &self.shared.metrics;
        match succeeded {
            true => metrics.reloads.add(1),
            false => metrics.reload_failures.add(1),
        }
    }
}
