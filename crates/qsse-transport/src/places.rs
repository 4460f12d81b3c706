//! [`Places`]: a limited number of places, and who makes room when all are taken.

use std::collections::{BTreeMap, HashMap};

use crate::network::Network;

/// A limited number of places, with what is known of whoever holds each, oldest first.
///
/// No network can keep others out: one that holds more than a quarter of the places makes the room
/// when all are taken.
///
/// ```
/// use qsse_transport::{Network, Places};
///
/// let network = Network::of("192.0.2.17".parse()?);
/// let mut places = Places::new(2);
/// places.add(network, "first");
/// places.add(network, "second");
/// assert!(places.is_full());
/// assert_eq!(places.displace_for(network, |who| *who == "second"), Some("second"));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug)]
pub struct Places<T> {
    limit: usize,
    next_id: u64,
    by_id: BTreeMap<u64, (Network, T)>,
    by_network: HashMap<Network, usize>,
}

impl<T> Places<T> {
    /// Creates `limit` free places.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            next_id: 0,
            by_id: BTreeMap::new(),
            by_network: HashMap::new(),
        }
    }

    /// Returns the number of places that are taken.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Returns whether no place is taken.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Returns whether all places are taken.
    pub fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// Gives a place to a client of a network, also when all are taken. Returns the place's id.
    pub fn add(&mut self, network: Network, who: T) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.by_id.insert(id, (network, who));
        *self.by_network.entry(network).or_default() += 1;
        id
    }

    /// Returns who holds a place.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.by_id.get_mut(&id).map(|(_, who)| who)
    }

    /// Frees a place, unless it was taken away.
    pub fn remove(&mut self, id: u64) -> Option<T> {
        let (network, who) = self.by_id.remove(&id)?;
        let count = self.by_network.get_mut(&network);
        let count = count.expect("each place is counted");
        *count -= 1;
        if *count == 0 {
            self.by_network.remove(&network);
        }
        Some(who)
    }

    /// Makes room for a client of this network. Returns who lost a place, if anybody did.
    ///
    /// The oldest silent one goes. A client that answers is never older than a round trip, so under
    /// a flood the oldest is one of the flood. If one network has more than a quarter of the
    /// places, it has to make the room itself: for its own newcomers with its oldest silent one,
    /// for others with any.
    pub fn displace_for(&mut self, newcomer: Network, is_silent: impl Fn(&T) -> bool) -> Option<T> {
        let crowd = self.crowd();
        let silent = self.by_id.iter().find(|(_, (network, who))| {
            crowd.is_none_or(|crowd| *network == crowd) && is_silent(who)
        });
        let newest = || {
            let crowd = crowd.filter(|crowd| *crowd != newcomer)?;
            let mut newest_first = self.by_id.iter().rev();
            newest_first.find(|(_, (network, _))| *network == crowd)
        };
        let displaced = silent.or_else(newest).map(|(id, _)| *id);
        displaced.and_then(|id| self.remove(id))
    }

    /// Returns the network with the most places, if it has more than its share.
    fn crowd(&self) -> Option<Network> {
        let share = (self.limit / 4).max(1);
        let largest = self.by_network.iter().max_by_key(|(_, count)| **count);
        largest
            .filter(|(_, count)| **count > share)
            .map(|(network, _)| *network)
    }

    #[cfg(test)]
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.by_id.keys().copied().collect()
    }
}
