//! What became of every datagram: counted, hashed, and kept on request.

use std::{net::SocketAddr, time::Duration};

use crate::rng::mix;

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Handed to the socket it was for.
    Delivered,
    /// Lost by chance.
    Lost,
    /// Stopped by a partition.
    Cut,
    /// For an address that has no socket.
    Unreachable,
    /// Sent on its way a second time.
    Duplicated,
}

/// One datagram and its fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When, since the network was made.
    pub at: Duration,
    /// The address that sent it.
    pub from: SocketAddr,
    /// The address it was for.
    pub to: SocketAddr,
    /// How many bytes it carried.
    pub length: usize,
    /// What became of it.
    pub fate: Fate,
}

/// How many datagrams met which fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Handed to the socket they were for, second copies included.
    pub delivered: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Stopped by a partition.
    pub cut: u64,
    /// For an address that had no socket.
    pub unreachable: u64,
    /// Sent on their way a second time.
    pub duplicated: u64,
    /// The bytes of those delivered.
    pub delivered_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Trace {
    hash: u64,
    counters: Counters,
    steps: Option<Vec<Step>>,
}

impl Trace {
    pub(super) fn record(&mut self, step: Step) {
        let counter = match step.fate {
            Fate::Delivered => &mut self.counters.delivered,
            Fate::Lost => &mut self.counters.lost,
            Fate::Cut => &mut self.counters.cut,
            Fate::Unreachable => &mut self.counters.unreachable,
            Fate::Duplicated => &mut self.counters.duplicated,
        };
        *counter += 1;
        if step.fate == Fate::Delivered {
            self.counters.delivered_bytes += step.length as u64;
        }
        self.absorb(step.at.as_nanos() as u64);
        self.absorb_address(step.from);
        self.absorb_address(step.to);
        self.absorb((step.length as u64) << 8 | step.fate as u64);
        if let Some(steps) = &mut self.steps {
            steps.push(step);
        }
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn keep_steps(&mut self) {
        self.steps.get_or_insert_default();
    }

    pub(super) fn steps(&self) -> &[Step] {
        self.steps.as_deref().unwrap_or_default()
    }

    fn absorb_address(&mut self, address: SocketAddr) {
        let ip = match address.ip() {
            std::net::IpAddr::V4(ip) => u128::from(ip.to_bits()),
            std::net::IpAddr::V6(ip) => ip.to_bits(),
        };
        self.absorb(ip as u64);
        self.absorb((ip >> 64) as u64 ^ u64::from(address.port()));
    }

    fn absorb(&mut self, word: u64) {
        self.hash = mix(self.hash.rotate_left(23) ^ word.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Step = Step {
        at: Duration::from_millis(5),
        from: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1),
        to: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2),
        length: 1200,
        fate: Fate::Delivered,
    };

    fn hash(steps: &[Step]) -> u64 {
        let mut trace = Trace::default();
        steps.iter().for_each(|step| trace.record(*step));
        trace.hash()
    }

    #[test]
    fn each_part_of_a_step_and_its_place_show_in_the_hash() {
        let others = [
            Step {
                at: Duration::from_millis(6),
                ..STEP
            },
            Step {
                from: STEP.to,
                ..STEP
            },
            Step {
                to: STEP.from,
                ..STEP
            },
            Step {
                length: 1199,
                ..STEP
            },
            Step {
                fate: Fate::Lost,
                ..STEP
            },
        ];
        for other in others {
            assert_ne!(hash(&[STEP]), hash(&[other]), "{other:?}");
            assert_ne!(hash(&[STEP, other]), hash(&[other, STEP]), "{other:?}");
        }
        assert_eq!(hash(&[STEP, others[0]]), hash(&[STEP, others[0]]));
    }
}
