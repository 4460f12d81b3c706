//! What becomes of a publishing stream whose connection was lost: with keys, another one goes on where it stopped.

use std::sync::Arc;
use std::time::Duration;

use super::keys::{connected, unknown};
use super::ledger::Failure;
use super::pipe::Pipe;
use crate::PublishError;
use crate::core::Core;

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
        let oldest = {
            let state = self.state.lock();
            match &state.again {
                // Behind a refusal nothing is sent again: it would be out of turn.
                Some(again) if state.failure.is_none() && !again.is_empty() => again.oldest(),
                _ => return Err(error),
            }
        };
        if !matches!(error, PublishError::AckLost { .. }) || !self.session.is_over() {
            let tried = oldest.is_some();
            return Err(if tried { unknown(error) } else { error });
        }
        self.close(Failure::Unsent);
        let session = match (connected(core, oldest).await, oldest) {
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
        let next = session.ordered_pipe(core, true, left);
        if state.finished {
            next.finish();
        }
        state.successor = Some(next);
        Ok(())
    }
}
