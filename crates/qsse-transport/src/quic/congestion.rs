//! [`Closing`]: congestion control that does not hold back the close of a connection.
//!
//! QUIC exempts a CONNECTION_CLOSE from congestion control (RFC 9002, section 3). quinn-proto
//! 0.11.19 holds it back while the window is full and stream data waits to be sent. Then the close
//! is never sent: a closed connection reads no acknowledgements, so its window stays full until
//! quinn forgets it. The peer is not told. quinn's repository has a correction (issue 2785); once a
//! release contains it, this file can be removed.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, Cubic, CubicConfig};
use quinn_proto::RttEstimator;

/// Whether a connection, or every connection of an endpoint, is being closed. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closing(Arc<AtomicBool>);

impl Closing {
    /// Returns that of a connection. If another kind of congestion control runs it, nobody reads
    /// what this returns.
    pub(crate) fn of(connection: &quinn::Connection) -> Self {
        // This is a copy of the connection's control, which shares the value.
        let control = connection.congestion_state().into_any();
        let control = control.downcast::<CloseExempt>().ok();
        control
            .map(|control| control.connection)
            .unwrap_or_default()
    }

    /// Lets the close through. Call it before quinn's.
    pub(crate) fn begin(&self) {
        // quinn's close takes a lock or a queue, which orders this before it.
        self.0.store(true, Ordering::Relaxed);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Creates the congestion control of an endpoint's connections.
pub(super) struct Factory {
    endpoint: Closing,
    cubic: Arc<CubicConfig>,
}

impl Factory {
    pub(super) fn new(endpoint: &Closing) -> Self {
        Self {
            endpoint: endpoint.clone(),
            cubic: Arc::default(),
        }
    }
}

impl ControllerFactory for Factory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(CloseExempt {
            cubic: Cubic::new(Arc::clone(&self.cubic), now, current_mtu),
            connection: Closing::default(),
            endpoint: self.endpoint.clone(),
        })
    }
}

/// CUBIC, which is quinn's default. Once the connection is being closed, the window is unlimited,
/// so that the close can be sent. quinn sends nothing else on a closed connection.
#[derive(Clone, Debug)]
struct CloseExempt {
    cubic: Cubic,
    connection: Closing,
    endpoint: Closing,
}

impl Controller for CloseExempt {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.cubic
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.cubic
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.connection.has_begun() || self.endpoint.has_begun() {
            // quinn does not pace a window of this size either.
            return u64::MAX;
        }
        self.cubic.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
