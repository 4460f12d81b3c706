//! [`Handshakes`]: the handshakes in flight, and which of them makes room when they are too many.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::network::Network;

/// How long a client may take to answer the server's first packets before it counts as silent: a
/// round trip around the world, and a lost packet.
const SILENT: Duration = Duration::from_millis(300);

/// The handshakes in flight, oldest first.
#[derive(Debug)]
pub(super) struct Handshakes {
    limit: usize,
    next_id: u64,
    by_id: BTreeMap<u64, Entry>,
    by_network: HashMap<Network, usize>,
}

#[derive(Debug)]
struct Entry {
    network: Network,
    /// When the server has answered the client; `None` while it waits for its turn.
    begun: Option<Instant>,
    /// Dropped to end the handshake.
    _held: oneshot::Sender<()>,
}

impl Handshakes {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            next_id: 0,
            by_id: BTreeMap::new(),
            by_network: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// Adds a handshake. Returns its id, and what resolves when it has to end.
    pub(super) fn add(&mut self, network: Network) -> (u64, oneshot::Receiver<()>) {
        let (held, displaced) = oneshot::channel();
        let id = self.next_id;
        self.next_id += 1;
        let entry = Entry {
            network,
            begun: None,
            _held: held,
        };
        self.by_id.insert(id, entry);
        *self.by_network.entry(network).or_default() += 1;
        (id, displaced)
    }

    /// Notes that the server has answered the client.
    pub(super) fn begin(&mut self, id: u64, now: Instant) {
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.begun = Some(now);
        }
    }

    /// Removes a handshake, unless it was displaced.
    pub(super) fn remove(&mut self, id: u64) {
        let Some(entry) = self.by_id.remove(&id) else {
            return;
        };
        let count = self.by_network.get_mut(&entry.network);
        let count = count.expect("each handshake is counted");
        *count -= 1;
        if *count == 0 {
            self.by_network.remove(&entry.network);
        }
    }

    /// Makes room for a client of this network by ending another handshake. Returns whether it
    /// could.
    ///
    /// The oldest silent one goes. A client that answers is never older than a round trip, so under
    /// a flood the oldest is one of the flood. If one network has more than a quarter of the
    /// places, it has to make the room itself: for its own newcomers with its oldest silent one,
    /// for others with any.
    pub(super) fn displace_for(&mut self, newcomer: Network, now: Instant) -> bool {
        let crowd = self.crowd();
        let silent = self.by_id.iter().find(|(_, entry)| {
            let silent = entry.begun.is_some_and(|begun| now - begun >= SILENT);
            silent && crowd.is_none_or(|crowd| entry.network == crowd)
        });
        let newest = || {
            let crowd = crowd.filter(|crowd| *crowd != newcomer)?;
            let mut newest_first = self.by_id.iter().rev();
            newest_first.find(|(_, entry)| entry.network == crowd)
        };
        let displaced = silent.or_else(newest).map(|(id, _)| *id);
        if let Some(id) = displaced {
            self.remove(id);
        }
        displaced.is_some()
    }

    /// Returns the network with the most handshakes, if it has more than its share.
    fn crowd(&self) -> Option<Network> {
        let share = (self.limit / 4).max(1);
        let largest = self.by_network.iter().max_by_key(|(_, count)| **count);
        largest
            .filter(|(_, count)| **count > share)
            .map(|(network, _)| *network)
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
        handshakes.by_id.keys().copied().collect()
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
        assert!(handshakes.by_network.is_empty());
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
