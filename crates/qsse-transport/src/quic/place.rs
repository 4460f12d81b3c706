//! [`Place`]: which of an endpoint's sockets a connection belongs to, told by its ids.

use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, RandomConnectionIdGenerator};

use super::CONNECTION_ID_BYTES;

/// One shard among several: those connections whose ids' first byte, modulo `count`, is `index`.
///
/// Clients draw the id of their first packet at random, and so their shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) index: u8,
    pub(crate) count: u8,
}

impl Place {
    /// The byte nearest below `byte`, or if there is none above, that names this place.
    fn named_by(self, byte: u8) -> u8 {
        let block = byte - byte % self.count;
        block
            .checked_add(self.index)
            .unwrap_or_else(|| block - self.count + self.index)
    }
}

/// Random connection ids that name a place.
pub(crate) struct PlacedIds {
    random: RandomConnectionIdGenerator,
    place: Place,
}

impl PlacedIds {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            random: RandomConnectionIdGenerator::new(CONNECTION_ID_BYTES),
            place,
        }
    }
}

impl ConnectionIdGenerator for PlacedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = self.random.generate_cid();
        id[0] = self.place.named_by(id[0]);
        id
    }

    fn cid_len(&self) -> usize {
        self.random.cid_len()
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_names_its_place() {
        for count in 1..=64 {
            for index in 0..count {
                let place = Place { index, count };
                assert!((0..=255).all(|byte| place.named_by(byte) % count == index));
            }
        }
        let place = Place { index: 2, count: 3 };
        let mut ids = PlacedIds::new(place);
        let drawn: Vec<_> = (0..100).map(|_| ids.generate_cid()).collect();
        assert!(
            drawn
                .iter()
                .all(|id| id[0] % 3 == 2 && id.len() == ids.cid_len())
        );
        assert!(
            drawn.iter().any(|id| id[0] != drawn[0][0]),
            "the rest of the byte is random"
        );
    }
}
