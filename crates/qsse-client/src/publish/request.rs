//! [`Request`]: one publish that waits for its answer.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use qsse_proto::publish::{Key, KeyError, KeyScope};
use qsse_proto::{Code, Kind};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::keys::{First, connected, unknown};
use super::ledger::Failure;
use super::pipe::Event;
use super::{Published, check_size};
use crate::core::Handle;
use crate::error::{PublishError, UnknownOutcome};
use crate::state::CloseReason;

/// One publish that waits for its answer.
pub(super) struct Request {
    handle: Arc<Handle>,
    /// Topic or pattern.
    name: Result<Arc<str>, PublishError>,
    matching: bool,
    data: Bytes,
    pub(super) kind: Result<Kind, PublishError>,
    /// The caller's.
    key: Option<Result<Key, KeyError>>,
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
        let given = self.key.transpose()?;
        let scope = match given {
            Some(_) => core.keys.named(&core.config.publisher_name),
            None => core.keys.own(),
        };
        let mut key = given;
        let mut first: Option<First> = None;
        let mut patience: Option<Instant> = None;
        loop {
            let session = connected(core, first, false).await?;
            let again = core.config.publish_retry && session.knows_keys();
            if key.is_none() && again {
                key = Some(core.keys.draw());
            }
            let judged = |error| match first {
                Some(_) => unknown(error),
                None => error,
            };
            if let (Some(first), KeyScope::Named { .. }) = (&first, &scope)
                && first.is_somebody_else(&session)
            {
                let why = UnknownOutcome::OtherPrincipal;
                return Err(PublishError::outcome_unknown(why));
            }
            check_size(self.data.len(), &session).map_err(judged)?;
            let pipe = session.shared_pipe(core, &scope);
            let (done, answer) = oneshot::channel();
            let event = Event {
                name: &name,
                matching: self.matching,
                kind: &kind,
                data: &self.data,
                key: key.as_ref().map(|key| (key, first)),
            };
            let pushed = pipe.push(event, Some(done)).await;
            let now = First::now(&session);
            let failure = match pushed {
                Ok(()) => match answer.await {
                    Ok(Ok(published)) => return Ok(published),
                    Ok(Err(failure)) => failure,
                    Err(_) => Failure::Error(PublishError::Closed(CloseReason::RuntimeEnded)),
                },
                Err(failure) => failure,
            };
            match failure {
                // Nothing was sent: the next connection will do.
                Failure::Unsent => {}
                Failure::Error(PublishError::AckLost { .. })
                    if again && key.is_some() && session.is_over() =>
                {
                    first.get_or_insert(now);
                }
                // It was not taken, and this server goes away.
                Failure::Error(PublishError::Refused {
                    code: Code::SHUTTING_DOWN,
                    message,
                }) => {
                    session.set_over();
                    let now = Instant::now();
                    let until = *patience.get_or_insert(now + core.config.publish_wait);
                    if now >= until {
                        let code = Code::SHUTTING_DOWN;
                        return Err(judged(PublishError::Refused { code, message }));
                    }
                }
                Failure::Error(error) => return Err(judged(error)),
            }
        }
    }

    pub(super) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}
