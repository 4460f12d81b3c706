//! Admission of clients: limits on handshakes and connections, and their counters.

use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::handshakes::Handshakes;
use crate::config::TransportConfig;
use crate::network::Network;

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
    /// Handshakes that failed, timed out, were displaced or were abandoned.
    pub failed: u64,
    /// Handshakes that did not complete within their deadline.
    pub timed_out: u64,
    /// Handshakes of silent clients that made room for newer ones.
    pub displaced: u64,
    /// Clients that were asked to prove their address first.
    pub retried: u64,
    /// Clients that were refused, for any of the following reasons or because the endpoint no
    /// longer accepts.
    pub refused: u64,
    /// Clients that were refused because of the limit on connections.
    pub refused_connections: u64,
    /// Clients that were refused because of the limit on handshakes.
    pub refused_handshakes: u64,
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
    max_connections: usize,
    /// The tickets in use.
    handshakes: Mutex<Handshakes>,
    /// The tickets in use whose handshake has not begun, so quinn does not count them yet.
    waiting: AtomicUsize,
    completed: AtomicU64,
    failed: AtomicU64,
    timed_out: AtomicU64,
    displaced: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
    refused_connections: AtomicU64,
    refused_handshakes: AtomicU64,
}

impl Gate {
    pub(super) fn new(config: &TransportConfig) -> Self {
        let most = config.max_incoming.max(config.max_handshakes);
        Self {
            max_handshakes: config.max_handshakes,
            max_connections: config.max_connections,
            handshakes: Mutex::new(Handshakes::new(most)),
            waiting: AtomicUsize::new(0),
            completed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            displaced: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refused_connections: AtomicU64::new(0),
            refused_handshakes: AtomicU64::new(0),
        }
    }

    /// Decides about a client of a network, and counts the decision. `open` counts the connections
    /// that hold state; `validated` tells whether the client has proved its address.
    ///
    /// Clients that have not proved it get the first `max_handshakes` places only, so floods from
    /// false addresses leave the others free. When all are taken, a silent handshake makes room.
    ///
    /// One task decides. Meanwhile handshakes begin and end on other tasks.
    pub(super) fn decide(
        &self,
        open: impl FnOnce() -> usize,
        validated: bool,
        network: Network,
    ) -> Admission {
        // In this order, a handshake that begins in between counts twice instead of not at all.
        let waiting = self.waiting.load(Acquire);
        if open() + waiting >= self.max_connections {
            self.refused_connections.fetch_add(1, Relaxed);
            self.count_refused();
            return Admission::Refuse;
        }
        let mut handshakes = self.handshakes();
        if handshakes.len() >= self.max_handshakes && !validated {
            self.retried.fetch_add(1, Relaxed);
            return Admission::Retry;
        }
        if !handshakes.is_full() {
            return Admission::Admit;
        }
        if handshakes.displace_for(network, Instant::now()) {
            self.displaced.fetch_add(1, Relaxed);
            return Admission::Admit;
        }
        self.refused_handshakes.fetch_add(1, Relaxed);
        self.count_refused();
        Admission::Refuse
    }

    /// Counts a handshake until its ticket is dropped.
    ///
    /// The second value resolves when the handshake has to make room for another.
    pub(super) fn admit(self: &Arc<Self>, network: Network) -> (Ticket, oneshot::Receiver<()>) {
        let (id, displaced) = self.handshakes().add(network);
        self.waiting.fetch_add(1, Relaxed);
        let ticket = Ticket {
            gate: self.clone(),
            id,
            waiting: true,
            completed: false,
        };
        (ticket, displaced)
    }

    fn handshakes(&self) -> MutexGuard<'_, Handshakes> {
        let handshakes = self.handshakes.lock();
        handshakes.expect("no code panics while holding it")
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn stats(&self, open_connections: usize) -> EndpointStats {
        EndpointStats {
            open_connections,
            handshakes_in_flight: self.handshakes().len(),
            completed: self.completed.load(Relaxed),
            failed: self.failed.load(Relaxed),
            timed_out: self.timed_out.load(Relaxed),
            displaced: self.displaced.load(Relaxed),
            retried: self.retried.load(Relaxed),
            refused: self.refused.load(Relaxed),
            refused_connections: self.refused_connections.load(Relaxed),
            refused_handshakes: self.refused_handshakes.load(Relaxed),
        }
    }
}

/// The claim of one handshake. Dropping it releases the claim, whatever the outcome.
#[derive(Debug)]
pub(super) struct Ticket {
    gate: Arc<Gate>,
    id: u64,
    waiting: bool,
    completed: bool,
}

impl Ticket {
    /// Records that the handshake has begun. From now on quinn counts its connection.
    pub(super) fn begun(&mut self) {
        if self.end_waiting() {
            self.gate.handshakes().begin(self.id, Instant::now());
        }
    }

    fn end_waiting(&mut self) -> bool {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting {
            self.gate.waiting.fetch_sub(1, Release);
        }
        waiting
    }

    /// Records that the handshake has become a connection.
    pub(super) fn completed(&mut self) {
        self.completed = true;
    }

    /// Records that the deadline has passed.
    pub(super) fn timed_out(&self) {
        self.gate.timed_out.fetch_add(1, Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.end_waiting();
        self.gate.handshakes().remove(self.id);
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
        let network = Network::of([127, 0, 0, 1].into());
        let decide = |open, validated| gate.decide(|| open, validated, network);
        assert_eq!(decide(0, false), Admission::Admit);
        assert_eq!(decide(10, true), Admission::Refuse);

        let mut tickets = vec![gate.admit(network).0, gate.admit(network).0];
        assert_eq!(decide(0, false), Admission::Retry);
        assert_eq!(decide(0, true), Admission::Admit);
        assert_eq!(decide(8, true), Admission::Refuse, "two more are waiting");
        tickets[0].begun();
        assert_eq!(decide(8, true), Admission::Admit);

        tickets.push(gate.admit(network).0);
        assert_eq!(decide(0, false), Admission::Retry, "it may prove it first");
        assert_eq!(decide(0, true), Admission::Refuse);
        tickets[2].completed();
        drop(tickets);
        let stats = gate.stats(0);
        assert_eq!((stats.completed, stats.failed), (1, 2));
        assert_eq!((stats.handshakes_in_flight, stats.retried), (0, 2));
        assert_eq!((stats.refused, stats.refused_connections), (3, 2));
        assert_eq!((stats.refused_handshakes, stats.displaced), (1, 0));
        assert_eq!(decide(9, false), Admission::Admit);
    }
}
