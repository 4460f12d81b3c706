//! Admission of clients: limits on handshakes and connections, and their counters.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::config::TransportConfig;

/// Counters of a server's endpoint since it was bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Connections that hold state now: open, in handshake, or just closed.
    pub open_connections: usize,
    /// Handshakes that were accepted and have neither completed nor failed.
    pub handshakes_in_flight: usize,
    /// Handshakes that became connections.
    pub completed: u64,
    /// Handshakes that failed, timed out or were abandoned.
    pub failed: u64,
    /// Clients that were asked to prove their address first.
    pub retried: u64,
    /// Clients that were refused because of a limit, or because the endpoint no longer accepts.
    pub refused: u64,
}

/// The decision about a client that wants to connect.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Admit,
    Retry,
    Refuse,
}

/// Counts handshakes and decides about further ones.
///
/// It does not count open connections. quinn knows how many hold state, whatever happened to their
/// handles, so none can leak.
#[derive(Debug)]
pub(super) struct Gate {
    max_handshakes: usize,
    max_incoming: usize,
    max_connections: usize,
    /// The tickets in use.
    in_flight: AtomicUsize,
    /// The tickets in use whose handshake has not begun, so quinn does not count them yet.
    waiting: AtomicUsize,
    completed: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
}

impl Gate {
    pub(super) fn new(config: &TransportConfig) -> Self {
        Self {
            max_handshakes: config.max_handshakes,
            max_incoming: config.max_incoming,
            max_connections: config.max_connections,
            in_flight: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            completed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Decides about a client. `open` counts the connections that hold state; `validated` tells
    /// whether the client has proved its address.
    ///
    /// One task decides. Meanwhile handshakes begin and end on other tasks.
    pub(super) fn decide(&self, open: impl FnOnce() -> usize, validated: bool) -> Admission {
        // In this order, a handshake that begins in between counts twice instead of not at all.
        let waiting = self.waiting.load(Acquire);
        let in_flight = self.in_flight.load(Relaxed);
        if open() + waiting >= self.max_connections
            || in_flight >= self.max_incoming.max(self.max_handshakes)
        {
            Admission::Refuse
        } else if in_flight >= self.max_handshakes && !validated {
            Admission::Retry
        } else {
            Admission::Admit
        }
    }

    /// Counts a handshake until its ticket is dropped.
    pub(super) fn admit(self: &Arc<Self>) -> Ticket {
        self.in_flight.fetch_add(1, Relaxed);
        self.waiting.fetch_add(1, Relaxed);
        Ticket {
            gate: self.clone(),
            waiting: true,
            completed: false,
        }
    }

    pub(super) fn count_retried(&self) {
        self.retried.fetch_add(1, Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn stats(&self, open_connections: usize) -> EndpointStats {
        EndpointStats {
            open_connections,
            handshakes_in_flight: self.in_flight.load(Relaxed),
            completed: self.completed.load(Relaxed),
            failed: self.failed.load(Relaxed),
            retried: self.retried.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }
}

/// The claim of one handshake. Dropping it releases the claim, whatever the outcome.
#[derive(Debug)]
pub(super) struct Ticket {
    gate: Arc<Gate>,
    waiting: bool,
    completed: bool,
}

impl Ticket {
    /// Records that the handshake has begun. From now on quinn counts its connection.
    pub(super) fn begun(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.gate.waiting.fetch_sub(1, Release);
        }
    }

    /// Records that the handshake has become a connection.
    pub(super) fn completed(&mut self) {
        self.completed = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.begun();
        self.gate.in_flight.fetch_sub(1, Relaxed);
        let outcome = if self.completed {
            &self.gate.completed
        } else {
            &self.gate.failed
        };
        outcome.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_apply_in_order_and_places_come_back() {
        let config = TransportConfig::server()
            .max_handshakes(2)
            .max_incoming(3)
            .max_connections(10);
        let gate = Arc::new(Gate::new(&config));
        assert_eq!(gate.decide(|| 0, false), Admission::Admit);
        assert_eq!(gate.decide(|| 10, true), Admission::Refuse);

        let mut tickets = vec![gate.admit(), gate.admit()];
        assert_eq!(gate.decide(|| 0, false), Admission::Retry);
        assert_eq!(gate.decide(|| 0, true), Admission::Admit);
        assert_eq!(
            gate.decide(|| 8, true),
            Admission::Refuse,
            "two more are waiting"
        );
        tickets[0].begun();
        assert_eq!(gate.decide(|| 8, true), Admission::Admit);

        tickets.push(gate.admit());
        assert_eq!(gate.decide(|| 0, true), Admission::Refuse);
        tickets[2].completed();
        drop(tickets);
        let stats = gate.stats(0);
        assert_eq!((stats.completed, stats.failed), (1, 2));
        assert_eq!(stats.handshakes_in_flight, 0);
        assert_eq!(gate.decide(|| 9, false), Admission::Admit);
    }
}
