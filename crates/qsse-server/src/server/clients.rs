//! The clients of a server: who they are, and taking their rights back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use qsse_log::{StorageError, TopicStats};
use qsse_proto::Code;
use qsse_topic::PatternRef;

use super::Server;
use crate::audit::{AuditEvent, AuditRecord};
use crate::info::{ConnectionInfo, ServerState, ServerStatus, TopicInfo};
use crate::revocation::{Revocation, RevokeError};

impl Server {
    /// Returns the clients that were let in, in the order in which they came.
    ///
    /// It takes time and memory for each of them: it is for people and tools, not for each event.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let all = self.shared.clients.all().into_iter();
        all.map(|(id, client)| client.info(id)).collect()
    }

    /// Returns the number of open connections, including those that are not let in yet.
    pub fn connection_count(&self) -> usize {
        self.shared.sessions.len()
    }

    /// Closes the connection with this [id](ConnectionInfo::id). Its client may come back at once;
    /// [`revoke`](Self::revoke) keeps it out. Returns whether there was one.
    pub fn close_connection(&self, id: u64) -> bool {
        let client = self.shared.clients.get(id);
        let subject = format!("connection {id}");
        let record = AuditRecord::new(AuditEvent::Close, client.is_some());
        self.audit(&record.subject(&subject));
        client
            .inspect(|client| client.expel(Code::NO_ERROR, "closed by the server's operator"))
            .is_some()
    }

    /// Takes back the right to connect, at once: when this returns, nothing more is sent to the
    /// clients that it is about nor accepted from them, and their connections are closed with
    /// [`Code::NOT_AUTHORISED`]. As long as it is remembered, new connections and refreshed tokens
    /// are refused too. Returns how many connections were closed.
    ///
    /// A publish that the server was appending at this moment is accepted. Revocations do not
    /// survive the process: a token that must never work again has to be removed where the
    /// authenticator looks for it.
    ///
    /// ```
    /// # use qsse_server::{Revocation, Server};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind("127.0.0.1:0").await?;
    /// let closed = server.revoke(&Revocation::principal("ada"))?;
    /// assert_eq!(closed, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RevokeError::Full`]: the connections were closed, but may come back.
    pub fn revoke(&self, revocation: &Revocation) -> Result<usize, RevokeError> {
        let (closed, remembered) = self.shared.clients.revoke(revocation);
        tracing::info!(%revocation, closed, "revoked");
        let subject = revocation.to_string();
        let record = AuditRecord::new(AuditEvent::Revoke, remembered.is_ok());
        self.audit(&record.subject(&subject));
        let limit = self.shared.config.max_revocations;
        remembered.map_err(|_| RevokeError::Full { limit, closed })?;
        Ok(closed)
    }

    /// Forgets a revocation, so that its subject may connect again. Returns whether it was
    /// remembered.
    pub fn unrevoke(&self, revocation: &Revocation) -> bool {
        let removed = self.shared.clients.unrevoke(revocation);
        let subject = revocation.to_string();
        self.audit(&AuditRecord::new(AuditEvent::Unrevoke, removed).subject(&subject));
        removed
    }

    /// Adds a record to those that the server reports to its
    /// [audit sink](crate::ServerBuilder::audit), for what its owner or a tool does to it.
    pub fn audit(&self, record: &AuditRecord<'_>) {
        self.shared.record(record);
    }

    /// Asks the authenticator about the token of each client again. Call it after the
    /// authenticator's answers have changed.
    ///
    /// It happens after this returns, concurrently. A client that is refused now is closed with
    /// [`Code::NOT_AUTHORISED`], and subscriptions that are no longer allowed end. No token becomes
    /// valid for longer by this.
    pub fn recheck_clients(&self) {
        self.shared.clients.recheck();
    }

    /// Returns the state of the server.
    ///
    /// It takes time for each client, as [`connections`](Self::connections).
    pub fn status(&self) -> ServerStatus {
        let shared = &self.shared;
        let log = shared.log.stats();
        let connections = self.connections();
        let lags: Vec<_> = connections
            .iter()
            .flat_map(|connection| &connection.subscriptions)
            .map(|subscription| subscription.lag)
            .collect();
        let uptime = shared.clock.now().monotonic;
        ServerStatus {
            version: env!("CARGO_PKG_VERSION").into(),
            address: self.local_addr(),
            state: self.state(),
            uptime: Duration::from_secs(uptime.as_secs()),
            last_event: shared.log.visible(),
            connections: connections.len(),
            subscriptions: lags.len(),
            behind: lags.iter().filter(|lag| **lag > 0).count(),
            topics: log.topics,
            history_events: log.history_events,
            history_bytes: log.history_bytes,
            feeds: log.feeds,
            feed_bytes: log.feed_bytes,
            revocations: shared.clients.revocations(),
            problem: self.health().err().map(|error| error.to_string()),
        }
    }

    /// Returns the first topics, by name, that match `pattern` and are declared or have an event;
    /// at most `limit`.
    ///
    /// Publishers wait while they are collected: ask for some thousands at most.
    ///
    /// # Errors
    /// The storage failed.
    pub fn topics<'p>(
        &self,
        pattern: impl Into<PatternRef<'p>>,
        limit: usize,
    ) -> Result<Vec<TopicInfo>, StorageError> {
        let topics = self.shared.log.topic_stats(pattern.into(), limit)?;
        let info = |stats: TopicStats| TopicInfo {
            topic: stats.topic,
            last: stats.last,
            events: stats.events,
        };
        Ok(topics.into_iter().map(info).collect())
    }

    /// Returns whether it accepts clients and publishes.
    pub fn state(&self) -> ServerState {
        let shared = &self.shared;
        if shared.closed.borrow().is_some() {
            ServerState::Closed
        } else if shared.leaving.load(Ordering::Acquire) {
            ServerState::Draining
        } else {
            ServerState::Serving
        }
    }
}
