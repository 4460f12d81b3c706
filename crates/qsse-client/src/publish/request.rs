//! [`Request`]: one publish that waits for its answer.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use qsse_proto::publish::{Key, KeyError, KeyScope};
use qsse_proto::{Code, Kind, Published};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::first_attempt::FirstAttempt;
use super::ledger::Failure;
use super::retry::connected;
use super::stream::Outgoing;
use super::task::shared_stream;
use crate::core::{Core, Handle};
use crate::error::{CloseReason, PublishError, UnknownOutcome};
use crate::session::Session;

/// One publish that waits for its answer.
pub(super) struct Request {
    handle: Arc<Handle>,
    /// Topic or pattern.
    name: Result<Arc<str>, PublishError>,
    matching: bool,
    data: Bytes,
    pub(super) kind: Result<Kind, PublishError>,
    /// The key that the caller gave.
    key: Option<Result<Key, KeyError>>,
}

/// A [`Request`] whose parts are valid, and what is known from its attempts.
struct Attempts<'c> {
    core: &'c Arc<Core>,
    name: Arc<str>,
    matching: bool,
    data: Bytes,
    kind: Kind,
    scope: KeyScope,
    /// The caller's key, or one that was drawn once the server was known to remember keys.
    key: Option<Key>,
    /// The first attempt after which the server may have accepted the publish.
    first: Option<FirstAttempt>,
    /// Until when a leaving server is waited for to be replaced.
    patience: Option<Instant>,
}

impl Request {
    pub(super) fn new(
        handle: Arc<Handle>,
        name: Result<Arc<str>, PublishError>,
        matching: bool,
        data: Result<Bytes, PublishError>,
    ) -> Self {
        let (name, data) = match data {
            Ok(data) => (name, data),
            Err(error) => (Err(error), Bytes::new()),
        };
        Self {
            handle,
            name,
            matching,
            data,
            kind: Ok(Kind::MESSAGE),
            key: None,
        }
    }

    pub(super) fn set_key(&mut self, key: &[u8]) {
        self.key = Some(Key::new(Bytes::copy_from_slice(key)));
    }

    /// Publishes, and tries again as long as that cannot publish twice.
    pub(super) async fn run(self) -> Result<Published, PublishError> {
        let core = &self.handle.core;
        let (name, kind) = (self.name?, self.kind?);
        let key = self.key.transpose()?;
        let scope = match key {
            Some(_) => core.keys.named_scope(&core.config.publisher_name),
            None => core.keys.own_scope(),
        };
        let attempts = Attempts {
            core,
            name,
            matching: self.matching,
            data: self.data,
            kind,
            scope,
            key,
            first: None,
            patience: None,
        };
        attempts.run().await
    }

    pub(super) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

impl Attempts<'_> {
    async fn run(mut self) -> Result<Published, PublishError> {
        loop {
            let session = connected(self.core, self.first, false).await?;
            let may_retry = self.core.config.publish_retry && session.knows_keys();
            if self.key.is_none() && may_retry {
                self.key = Some(self.core.keys.draw());
            }
            self.check(&session)?;
            let (answer, sent) = self.attempt(&session).await;
            match answer {
                Ok(published) => return Ok(published),
                // Nothing was sent, so the next connection can be used.
                Err(Failure::Unsent) => {}
                Err(Failure::Error(PublishError::AckLost { .. }))
                    if may_retry && self.key.is_some() && session.is_over() =>
                {
                    self.first.get_or_insert(sent);
                }
                // This server leaves, and did not accept it.
                Err(Failure::Error(PublishError::Refused {
                    code: Code::SHUTTING_DOWN,
                    message,
                })) => self.wait_for_next_server(&session, message)?,
                Err(Failure::Error(error)) => return Err(self.judge(error)),
            }
        }
    }

    /// Refuses to publish what the server would refuse or not recognise.
    fn check(&self, session: &Session) -> Result<(), PublishError> {
        if let (Some(first), KeyScope::Named { .. }) = (&self.first, &self.scope)
            && first.is_other_principal(session)
        {
            let why = UnknownOutcome::OtherPrincipal;
            return Err(PublishError::outcome_unknown(why));
        }
        let size = session.check_size(self.data.len());
        size.map_err(|error| self.judge(error))
    }

    /// Sends the publish once, and waits for the answer. Returns it and when it was sent.
    async fn attempt(&self, session: &Arc<Session>) -> (Result<Published, Failure>, FirstAttempt) {
        let stream = shared_stream(self.core, session, &self.scope);
        let (done, answer) = oneshot::channel();
        let event = Outgoing {
            name: &self.name,
            matching: self.matching,
            kind: &self.kind,
            data: &self.data,
            key: self.key.as_ref().map(|key| (key, self.first)),
        };
        let pushed = stream.push(event, Some(done)).await;
        let sent = FirstAttempt::now(session);
        if let Err(failure) = pushed {
            return (Err(failure), sent);
        }
        let answer = answer.await.unwrap_or_else(|_| {
            let reason = CloseReason::RuntimeEnded;
            Err(Failure::Error(PublishError::Closed(reason)))
        });
        (answer, sent)
    }

    /// Lets the next attempt wait for another connection, within [`publish_wait`] in all.
    ///
    /// [`publish_wait`]: crate::Config#structfield.publish_wait
    fn wait_for_next_server(
        &mut self,
        session: &Session,
        message: String,
    ) -> Result<(), PublishError> {
        session.set_over();
        let now = Instant::now();
        let until = now + self.core.config.publish_wait;
        if now >= *self.patience.get_or_insert(until) {
            let code = Code::SHUTTING_DOWN;
            return Err(self.judge(PublishError::Refused { code, message }));
        }
        Ok(())
    }

    /// Returns the error, or what it means if an earlier attempt may have been accepted.
    fn judge(&self, error: PublishError) -> PublishError {
        match self.first {
            Some(_) => error.after_attempt(),
            None => error,
        }
    }
}
