//! [`Handshakes`]: the handshakes in flight, and which of them makes room when they are too many.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::network::Network;
use crate::places::Places;

/// How long a client may take to answer the server's first packets before it counts as silent: a
/// round trip around the world, and a lost packet.
const SILENT: Duration = Duration::from_millis(300);

/// The handshakes in flight, oldest first.
#[derive(Debug)]
pub(super) struct Handshakes(Places<Entry>);

#[derive(Debug)]
struct Entry {
    /// When the server has answered the client; `None` while it waits for its turn.
    begun: Option<Instant>,
    /// Dropped to end the handshake.
    _held: oneshot::Sender<()>,
}

impl Handshakes {
    pub(super) fn new(limit: usize) -> Self {
        Self(Places::new(limit))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// Adds a handshake. Returns its id, and what resolves when it has to end.
    pub(super) fn add(&mut self, network: Network) -> (u64, oneshot::Receiver<()>) {
        let (held, displaced) = oneshot::channel();
        let entry = Entry {
            begun: None,
            _held: held,
        };
        (self.0.add(network, entry), displaced)
    }

    /// Notes that the server has answered the client.
    pub(super) fn begin(&mut self, id: u64, now: Instant) {
        if let Some(entry) = self.0.get_mut(id) {
            entry.begun = Some(now);
        }
    }

    /// Removes a handshake, unless it was displaced.
    pub(super) fn remove(&mut self, id: u64) {
        self.0.remove(id);
    }

    /// Makes room for a client of this network by ending another handshake. Returns whether it
    /// could.
    pub(super) fn displace_for(&mut self, newcomer: Network, now: Instant) -> bool {
        let is_silent = |entry: &Entry| entry.begun.is_some_and(|begun| now - begun >= SILENT);
        self.0.displace_for(newcomer, is_silent).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: u8) -> Network {
        Network::of([192, 0, number, 1].into())
    }

    /// Begins handshakes of these networks, each a millisecond after the one before.
    fn begun(limit: usize, networks: &[u8], start: Instant) -> Handshakes {
        let mut handshakes = Handshakes::new(limit);
        for (n, number) in networks.iter().enumerate() {
            let (id, _) = handshakes.add(network(*number));
            handshakes.begin(id, start + Duration::from_millis(n as u64));
        }
        handshakes
    }

    fn ids(handshakes: &Handshakes) -> Vec<u64> {
        handshakes.0.ids()
    }

    #[test]
    fn the_oldest_silent_handshake_makes_room() {
        let start = Instant::now();
        let mut handshakes = begun(4, &[1, 2, 3, 4], start);
        let (waiting, mut ended) = handshakes.add(network(5));
        assert!(!handshakes.displace_for(network(6), start + Duration::from_millis(299)));
        assert!(handshakes.displace_for(network(6), start + Duration::from_millis(301)));
        assert_eq!(ids(&handshakes), [1, 2, 3, 4]);
        assert!(handshakes.displace_for(network(6), start + Duration::from_millis(301)));
        assert_eq!(ids(&handshakes), [2, 3, 4]);
        // The last one waits for its turn: its client cannot have answered.
        for _ in 0..2 {
            assert!(handshakes.displace_for(network(6), start + Duration::from_secs(9)));
        }
        assert!(!handshakes.displace_for(network(6), start + Duration::from_secs(9)));
        assert_eq!(ids(&handshakes), [waiting]);
        assert_eq!(ended.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        handshakes.remove(waiting);
        assert_eq!(ended.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert!(handshakes.0.is_empty());
    }

    #[test]
    fn a_network_with_more_than_its_share_makes_the_room_for_all() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut handshakes = begun(8, &[1, 2, 2, 2, 3], start);
        let mut waiting = Vec::new();
        for _ in 0..3 {
            waiting.push(handshakes.add(network(2)).0);
        }
        assert!(handshakes.is_full());
        // Its silent ones first, not the older one of another network.
        for left in [
            &[0, 2, 3, 4, 5, 6, 7][..],
            &[0, 3, 4, 5, 6, 7],
            &[0, 4, 5, 6, 7],
        ] {
            assert!(handshakes.displace_for(network(2), later));
            assert_eq!(ids(&handshakes), left);
        }
        // It has no silent one left: its own newcomers get no place, those of others do.
        assert!(!handshakes.displace_for(network(2), later));
        assert!(handshakes.displace_for(network(4), later));
        assert_eq!(ids(&handshakes), [0, 4, 5, 6]);
        // Within its share it is one of many.
        assert!(handshakes.displace_for(network(2), later));
        assert_eq!(ids(&handshakes), [4, 5, 6]);
    }
}
