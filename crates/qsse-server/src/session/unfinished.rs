//! [`UnfinishedFrames`]: what the unfinished frames of one connection may take.

use std::sync::atomic::{AtomicBool, Ordering};

use qsse_log::Charge;
use qsse_proto::limits;
use qsse_transport::Connection;

use crate::fairness::unfinished::{Share, UnfinishedBudget};
use crate::shared::Shared;

/// What the unfinished frames of one connection may take.
///
/// A stream may always store what its window would have let the client send ahead. A longer frame
/// needs as many bytes of two budgets as it is long: of its connection, and of the server. Without
/// them its stream is not read, which stops the client.
pub(crate) struct UnfinishedFrames {
    budget: UnfinishedBudget,
    /// The length up to which an unfinished frame needs no claim.
    pub(crate) unclaimed: u64,
    /// Whether the window of the connection has been widened.
    widened: AtomicBool,
}

/// The bytes of an unfinished frame in both budgets, and in the server's memory, until it is
/// dropped.
pub(crate) type Claim<'s> = (Share<'s>, Share<'s>, Charge);

impl UnfinishedFrames {
    pub(crate) fn new(shared: &Shared) -> Self {
        let transport = shared.endpoint.config();
        let window = usize::try_from(transport.receive_window.unwrap_or(0));
        let longest = limits::event_frame_bytes(shared.config.log.max_event_bytes);
        Self {
            budget: UnfinishedBudget::new(window.unwrap_or(usize::MAX), longest),
            unclaimed: transport.stream_receive_window.unwrap_or(0),
            widened: AtomicBool::new(false),
        }
    }

    /// Waits until the budgets have room for an unfinished frame of this length. Cancel-safe.
    pub(crate) async fn claim<'s>(
        &'s self,
        shared: &'s Shared,
        connection: &Connection,
        bytes: usize,
    ) -> Claim<'s> {
        let charge = || shared.log.budget().charge(bytes);
        // Frames are shorter than 4 GiB.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if let Some(own) = self.budget.try_take(bytes)
            && let Some(server) = shared.unfinished.try_take(bytes)
        {
            return (own, server, charge());
        }
        shared.metrics.unfinished.waits.add(1);
        self.widen(shared, connection);
        // In this order everywhere, so that two frames never wait for each other.
        let own = self.budget.take(bytes).await;
        let server = shared.unfinished.take(bytes).await;
        (own, server, charge())
    }

    /// Lets the client send ahead on every publishing stream. Those that wait would otherwise take
    /// the whole window of the connection, and the frame that they wait for could not arrive.
    fn widen(&self, shared: &Shared, connection: &Connection) {
        if self.widened.swap(true, Ordering::Relaxed) {
            return;
        }
        let waiting = u64::from(shared.config.max_publishers).saturating_mul(self.unclaimed);
        let window = shared.endpoint.config().receive_window.unwrap_or(0);
        connection.set_receive_window(window.saturating_add(waiting));
    }
}
