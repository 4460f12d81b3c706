//! The datagrams under way, and the decisions about them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::SocketAddr,
    task::Waker,
    time::Duration,
};

use bytes::Bytes;
use quinn::udp::EcnCodepoint;
use tokio::time::Instant;

use super::{
    conditions::Conditions,
    trace::{Fate, Step, Trace},
};
use crate::rng::Rng;

/// Everything the sockets of a network share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) conditions: Conditions,
    pub(super) partitions: Vec<(BTreeSet<SocketAddr>, BTreeSet<SocketAddr>)>,
    pub(super) trace: Trace,
    rng: Rng,
    start: Instant,
    /// Counts what was sent: the order among datagrams that are due at the same time.
    next_order: u64,
    inboxes: BTreeMap<SocketAddr, Inbox>,
}

/// What is on its way to one socket.
#[derive(Debug, Default)]
struct Inbox {
    under_way: BinaryHeap<Reverse<Datagram>>,
    reader: Option<Waker>,
}

/// A datagram under way, ordered by (due, order).
#[derive(Debug, Clone)]
pub(super) struct Datagram {
    due: Instant,
    order: u64,
    pub(super) from: SocketAddr,
    pub(super) ecn: Option<EcnCodepoint>,
    pub(super) contents: Bytes,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            conditions: Conditions::default(),
            partitions: Vec::new(),
            trace: Trace::default(),
            rng: Rng::new(seed),
            start: Instant::now(),
            next_order: 0,
            inboxes: BTreeMap::new(),
        }
    }

    pub(super) fn has_socket(&self, address: SocketAddr) -> bool {
        self.inboxes.contains_key(&address)
    }

    pub(super) fn open(&mut self, address: SocketAddr) {
        let before = self.inboxes.insert(address, Inbox::default());
        assert!(
            before.is_none(),
            "{address} already has a socket on this network"
        );
    }

    pub(super) fn close(&mut self, address: SocketAddr) {
        self.inboxes.remove(&address);
    }

    /// Sends one datagram on its way or loses it. Returns the reader to wake.
    pub(super) fn send(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        ecn: Option<EcnCodepoint>,
        contents: &[u8],
    ) -> Option<Waker> {
        let length = contents.len();
        // Every draw is made for every datagram, so that a change of the conditions shifts no
        // later draw.
        let lost = self.rng.chance(self.conditions.loss);
        let twice = self.rng.chance(self.conditions.duplicate);
        let delays = [self.draw_delay(), self.draw_delay()];
        if self.is_cut(from, to) {
            self.record(from, to, length, Fate::Cut);
            return None;
        }
        if lost {
            self.record(from, to, length, Fate::Lost);
            return None;
        }
        if !self.has_socket(to) {
            self.record(from, to, length, Fate::Unreachable);
            return None;
        }
        if twice {
            self.record(from, to, length, Fate::Duplicated);
        }
        let now = Instant::now();
        let contents = Bytes::copy_from_slice(contents);
        let inbox = self.inboxes.get_mut(&to).expect("looked up above");
        for delay in delays.into_iter().take(1 + usize::from(twice)) {
            let order = self.next_order;
            self.next_order += 1;
            let contents = contents.clone();
            let datagram = Datagram {
                due: now + delay,
                order,
                from,
                ecn,
                contents,
            };
            inbox.under_way.push(Reverse(datagram));
        }
        inbox.reader.take()
    }

    /// The next datagram that is due at `address`, else when to ask again: `reader` is woken
    /// before that if one comes that is due earlier.
    pub(super) fn receive(
        &mut self,
        address: SocketAddr,
        reader: &Waker,
    ) -> Result<Datagram, Option<Instant>> {
        let Some(inbox) = self.inboxes.get_mut(&address) else {
            return Err(None);
        };
        match inbox.under_way.peek() {
            Some(Reverse(first)) if first.due <= Instant::now() => {
                let Reverse(datagram) = inbox.under_way.pop().expect("peeked above");
                self.record(
                    datagram.from,
                    address,
                    datagram.contents.len(),
                    Fate::Delivered,
                );
                Ok(datagram)
            }
            first => {
                let due = first.map(|Reverse(datagram)| datagram.due);
                inbox.reader = Some(reader.clone());
                Err(due)
            }
        }
    }

    fn draw_delay(&mut self) -> Duration {
        self.rng
            .duration(self.conditions.min_delay, self.conditions.max_delay)
    }

    fn is_cut(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.partitions.iter().any(|(a, b)| {
            a.contains(&from) && b.contains(&to) || b.contains(&from) && a.contains(&to)
        })
    }

    fn record(&mut self, from: SocketAddr, to: SocketAddr, length: usize, fate: Fate) {
        let at = self.start.elapsed();
        self.trace.record(Step {
            at,
            from,
            to,
            length,
            fate,
        });
    }
}

impl PartialEq for Datagram {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Datagram {}

impl PartialOrd for Datagram {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Datagram {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}
