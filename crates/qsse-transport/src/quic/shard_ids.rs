//! [`ShardConnectionIds`]: connection ids that tell the system which shard a packet belongs to.

use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, RandomConnectionIdGenerator};

use super::CONNECTION_ID_BYTES;

/// One shard among several. It owns the connections whose id has a first byte that is `index`
/// modulo `count`.
///
/// A client draws the id of its first packet at random, so its shard is random too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardId {
    pub(crate) index: u8,
    pub(crate) count: u8,
}

impl ShardId {
    /// Returns the byte nearest to `byte` that names this shard.
    fn named_by(self, byte: u8) -> u8 {
        let block = byte - byte % self.count;
        block
            .checked_add(self.index)
            .unwrap_or_else(|| block - self.count + self.index)
    }
}

/// Generates random connection ids that name a shard.
pub(crate) struct ShardConnectionIds {
    random: RandomConnectionIdGenerator,
    shard: ShardId,
}

impl ShardConnectionIds {
    pub(crate) fn new(shard: ShardId) -> Self {
        Self {
            random: RandomConnectionIdGenerator::new(CONNECTION_ID_BYTES),
            shard,
        }
    }
}

impl ConnectionIdGenerator for ShardConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = self.random.generate_cid();
        id[0] = self.shard.named_by(id[0]);
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
    fn every_id_names_its_shard() {
        for count in 1..=64 {
            for index in 0..count {
                let shard = ShardId { index, count };
                assert!((0..=255).all(|byte| shard.named_by(byte) % count == index));
            }
        }
        let shard = ShardId { index: 2, count: 3 };
        let mut ids = ShardConnectionIds::new(shard);
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
