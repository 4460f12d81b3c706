//! The source of an endpoint's randomness: the system, or a seed that makes a simulation
//! repeatable.

use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator};

use crate::crypto;

/// The source of random values that need not be secret.
#[derive(Clone, Debug)]
pub(crate) enum Randomness {
    System,
    #[cfg_attr(
        not(any(feature = "abstract-socket", test)),
        expect(dead_code, reason = "only simulations seed")
    )]
    Seeded([u8; 32]),
}

impl Randomness {
    /// Returns a number in 0..1. With a seed it is always the same.
    pub(crate) fn fraction(&self) -> f64 {
        let bytes = match self {
            Self::System => crypto::random(),
            Self::Seeded(seed) => SeededIds::new(seed, 8).next_block(),
        };
        // An f64 holds exactly 53 bits.
        (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Connection ids that are derived from a seed. They are for simulations only, because an observer
/// could predict them.
#[derive(Debug)]
pub(crate) struct SeededIds {
    state: u64,
    bytes: usize,
}

impl SeededIds {
    pub(crate) fn new(seed: &[u8; 32], bytes: usize) -> Self {
        let state = seed
            .chunks_exact(8)
            .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("chunks of 8")))
            .fold(0, |state: u64, word| mix(state ^ word));
        Self { state, bytes }
    }

    /// Advances SplitMix64: a counter that passes through a mixing function.
    fn next_block(&mut self) -> [u8; 8] {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state).to_le_bytes()
    }
}

impl ConnectionIdGenerator for SeededIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let blocks = [self.next_block(), self.next_block(), self.next_block()];
        ConnectionId::new(&blocks.as_flattened()[..self.bytes])
    }

    fn cid_len(&self) -> usize {
        self.bytes
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
