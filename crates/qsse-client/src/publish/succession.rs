//! What becomes of a publishing stream whose connection ends: another one goes on where it stopped, as far as the server has not taken it, or
//! would tell.

use std::sync::Arc;
use std::time::Duration;

use super::again::{Again, Left};
use super::keys::{connected, unknown};
use super::ledger::Failure;
use super::pipe::{Pipe, State};
use crate::core::Core;
use crate::error::PublishError;
use crate::session::Session;

/// A stream may end a moment before its connection is seen to.
const MOMENT: Duration = Duration::from_secs(1);

impl Pipe {
    /// Whether the end of the stream was that of its connection.
    pub(super) async fn settle(&self, core: &Core, error: PublishError) -> PublishError {
        if !matches!(error, PublishError::Ended { .. }) {
            return error;
        }
        tokio::select! {
            biased;
            _ = self.session.connection.closed() => self.lost(),
            () = core.sleep(MOMENT) => error,
        }
    }

    /// Leaves what has no answer to a stream on the next connection, which sends it again before anything new (`QP-8.14`).
    /// Fails with `error`, or that the outcome is unknown, if there can be none.
    pub(super) async fn succeed(
        &self,
        core: &Arc<Core>,
        error: PublishError,
    ) -> Result<(), PublishError> {
        if self.state.lock().is_turned_away() {
            return self.move_on(core, error).await;
        }
        let oldest = {
            let state = self.state.lock();
            match &state.again {
                // Behind a refusal nothing is sent again: it would be out of turn.
                Some(again)
                    if self.is_numbered() && state.failure.is_none() && !again.is_empty() =>
                {
                    again.oldest()
                }
                _ => return Err(error),
            }
        };
        if !matches!(error, PublishError::AckLost { .. }) || !self.session.is_over() {
            let tried = oldest.is_some();
            return Err(if tried { unknown(error) } else { error });
        }
        self.close(Failure::Unsent);
        let session = match (connected(core, oldest, true).await, oldest) {
            (Ok(session), _) => session,
            (Err(_), None) => return Err(error),
            (Err(error), Some(_)) => return Err(unknown(error)),
        };
        let mut state = self.state.lock();
        let Some(again) = state.again.take() else {
            return Err(error);
        };
        let left = again.leave(state.buffer.split().freeze());
        state.ledger.leave();
        self.hand_over(core, &session, &mut state, left);
        Ok(())
    }

    /// Leaves what a server that goes away has not taken (`QP-9.1`). Its connection waits for nothing of that any more.
    async fn move_on(&self, core: &Arc<Core>, error: PublishError) -> Result<(), PublishError> {
        let (left, oldest) = {
            let mut state = self.state.lock();
            let Some(again) = state.again.take() else {
                return Err(error);
            };
            let left = again.leave_untaken(state.buffer.split().freeze());
            state.ledger.leave();
            state.leaving = true;
            let oldest = left.oldest();
            (left, oldest)
        };
        self.progress.notify_waiters();
        let found = connected(core, oldest, true).await;
        let mut state = self.state.lock();
        match found {
            Ok(session) => {
                self.hand_over(core, &session, &mut state, left);
                Ok(())
            }
            Err(none) => {
                let (count, tried) = (left.len(), oldest.is_some());
                let error = if tried { unknown(none) } else { error };
                let error = error.with_unacknowledged(count);
                state.ledger.come_back(count, tried);
                state.behind = Again::of(left).numbers_behind();
                if count > 0 {
                    state.fail(error.clone());
                }
                Err(error)
            }
        }
    }

    fn hand_over(&self, core: &Arc<Core>, session: &Arc<Session>, state: &mut State, left: Left) {
        let next = session.ordered_pipe(core, left);
        if state.finished {
            next.finish();
        }
        state.successor = Some(next);
    }
}
