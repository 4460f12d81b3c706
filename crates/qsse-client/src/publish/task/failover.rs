//! Failover: when the connection of a publishing stream ends, another stream continues over the
//! next connection, with what the server has not accepted or would recognise.

use std::sync::Arc;
use std::time::Duration;

use super::{StreamTask, ordered_stream};
use crate::error::PublishError;
use crate::publish::first_attempt::FirstAttempt;
use crate::publish::ledger::Failure;
use crate::publish::resend::{ResendQueue, Unanswered};
use crate::publish::retry::connected;
use crate::publish::stream::State;
use crate::session::Session;

/// How long after its stream a connection may end.
const CONNECTION_END: Duration = Duration::from_secs(1);

impl StreamTask {
    /// Returns the connection's error if the stream ended because the connection did.
    pub(super) async fn connection_error(&self, error: PublishError) -> PublishError {
        if !matches!(error, PublishError::Ended { .. }) {
            return error;
        }
        tokio::select! {
            biased;
            _ = self.stream.session.connection.closed() => self.stream.connection_lost(),
            () = self.core.sleep(CONNECTION_END) => error,
        }
    }

    /// Passes what has no answer on to a stream over the next connection, which sends it again
    /// before anything new (`QP-8.14`).
    ///
    /// # Errors
    /// If that is not possible: `error`, or the one that says that the outcome is unknown.
    pub(super) async fn fail_over(&self, error: PublishError) -> Result<(), PublishError> {
        let stream = &self.stream;
        if stream.state.lock().is_rejected() {
            return self.move_rejected(error).await;
        }
        let Some(oldest) = self.oldest_to_resend() else {
            return Err(error);
        };
        if !matches!(error, PublishError::AckLost { .. }) || !stream.session.is_over() {
            return Err(match oldest {
                Some(_) => error.after_attempt(),
                None => error,
            });
        }
        stream.close(Failure::Unsent);
        let session = match (connected(&self.core, oldest, true).await, oldest) {
            (Ok(session), _) => session,
            (Err(_), None) => return Err(error),
            (Err(error), Some(_)) => return Err(error.after_attempt()),
        };
        let mut state = stream.state.lock();
        let Some(unanswered) = state.take_unanswered(ResendQueue::into_unanswered) else {
            return Err(error);
        };
        self.hand_over(&session, &mut state, unanswered);
        Ok(())
    }

    /// Returns when the oldest publish to resend was first sent, `Some(None)` if it was not; `None`
    /// if there is nothing to resend.
    fn oldest_to_resend(&self) -> Option<Option<FirstAttempt>> {
        let state = self.stream.state.lock();
        // Nothing behind a refused event is sent again: it would be out of order.
        let may_resend = self.stream.is_numbered() && state.failure.is_none();
        let resend = state.resend.as_ref().filter(|_| may_resend)?;
        (!resend.is_empty()).then(|| resend.oldest())
    }

    /// Moves what a leaving server has rejected to the next connection (`QP-9.1`). The server does
    /// not wait for these publishes any more.
    async fn move_rejected(&self, error: PublishError) -> Result<(), PublishError> {
        let stream = &self.stream;
        let unanswered = {
            let mut state = stream.state.lock();
            let Some(unanswered) = state.take_unanswered(ResendQueue::into_rejected) else {
                return Err(error);
            };
            state.is_moving = true;
            unanswered
        };
        stream.progress.notify_waiters();
        let oldest = unanswered.oldest();
        let found = connected(&self.core, oldest, true).await;
        let mut state = stream.state.lock();
        match found {
            Ok(session) => {
                self.hand_over(&session, &mut state, unanswered);
                Ok(())
            }
            Err(not_connected) => {
                let (count, tried) = (unanswered.len(), oldest.is_some());
                let error = match tried {
                    true => not_connected.after_attempt(),
                    false => error,
                };
                let error = error.with_unacknowledged(count);
                state.ledger.count_failed(count, tried);
                state.next_numbers = ResendQueue::new(unanswered).next_numbers();
                if count > 0 {
                    state.fail(error.clone());
                }
                Err(error)
            }
        }
    }

    fn hand_over(&self, session: &Arc<Session>, state: &mut State, unanswered: Unanswered) {
        let next = ordered_stream(&self.core, session, unanswered);
        if state.is_finished {
            next.finish();
        }
        state.successor = Some(next);
    }
}
