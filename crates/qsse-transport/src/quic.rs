//! Our settings as quinn's: the one place where they are translated.

use std::sync::Arc;
use std::time::Duration;

use qsse_proto::Code;
use qsse_proto::limits::FOREVER;
use quinn::{AckFrequencyConfig, EndpointConfig, IdleTimeout, VarInt};
use quinn_proto::{ConnectionIdGenerator, RandomConnectionIdGenerator};

use crate::config::TransportConfig;
use crate::crypto::{self, ResetKey};

mod place;
mod seeded;
mod way;

pub(crate) use place::{Place, PlacedIds};
pub(crate) use seeded::{Randomness, SeededIds};
pub(crate) use way::Way;

/// Connection ids of 8 random bytes: the library's own default has 24 random bits, which collide in
/// a storm of connects.
const CONNECTION_ID_BYTES: usize = 8;

/// Shortest interval between two stateless resets: none. The library counts it by one look at the
/// clock for everything that it reads in one go, so that any interval at all drops most of what the
/// clients of a restarted server ask. They ask again ever more rarely, the last ones after half a
/// minute. Each reset is smaller than the packet that it answers, so neither gains an attacker
/// anything nor goes back and forth for long.
const MIN_RESET_INTERVAL: Duration = Duration::ZERO;

/// Longest wait for a second packet before a single one is acknowledged, where the peer lets itself
/// be asked; QUIC's own default is 25 ms. A sender waits for it before it takes its last packet for
/// lost. At a hundred events a second there are still two packets to an acknowledgement; with less
/// than their ten milliseconds and some to spare there would be one, at a price for each event.
const ACK_DELAY: Duration = Duration::from_millis(16);

/// Shortest time between keep-alives.
const LEAST_KEEP_ALIVE: Duration = Duration::from_millis(10);

/// Largest window: what was received and the window together are a number that QUIC can carry.
const MOST_WINDOW: u64 = 1 << 61;

/// Which side of a connection a configuration is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// The connection settings of one side. `config` must be filled in for it.
pub(crate) fn transport(
    config: &TransportConfig,
    side: Side,
    way: Way,
    randomness: &Randomness,
) -> quinn::TransportConfig {
    let idle = config.idle_timeout.min(FOREVER);
    let mut quinn = quinn::TransportConfig::default();
    quinn
        .max_idle_timeout(IdleTimeout::try_from(idle).ok())
        .keep_alive_interval(keep_alive(config, idle, side, randomness))
        .send_window(config.send_window)
        .stream_receive_window(window(config.stream_receive_window))
        .receive_window(window(config.receive_window))
        .max_concurrent_bidi_streams(stream_count(config.max_remote_bidi_streams.unwrap_or(0)))
        .max_concurrent_uni_streams(stream_count(config.max_remote_uni_streams.unwrap_or(0)))
        .initial_mtu(config.initial_mtu)
        .mtu_discovery_config(Some(way.probes(config)))
        // A replaying stream must not starve the live ones.
        .send_fairness(true)
        // Everything goes over streams.
        .datagram_receive_buffer_size(None);
    quinn.ack_frequency_config(Some(ack_frequency(config.ack_threshold)));
    quinn
}

/// What the peer is asked for: an acknowledgement for `packets` of them, or sooner.
fn ack_frequency(packets: u32) -> AckFrequencyConfig {
    let mut frequency = AckFrequencyConfig::default();
    frequency
        .max_ack_delay(Some(ACK_DELAY))
        .ack_eliciting_threshold(VarInt::from_u32(packets.saturating_sub(1)))
        // A gap in the packets is told at once.
        .reordering_threshold(VarInt::from_u32(1));
    frequency
}

/// The settings of an endpoint whose stateless resets are signed with `reset_secret`; `place` is for
/// one that shares its address. Packets may come by `way`.
pub(crate) fn endpoint(
    config: &TransportConfig,
    reset_secret: &[u8; 32],
    randomness: &Randomness,
    way: Way,
    place: Option<Place>,
) -> EndpointConfig {
    let largest = way.limit(config);
    let mut config = EndpointConfig::new(Arc::new(ResetKey::new(reset_secret)));
    config
        .min_reset_interval(MIN_RESET_INTERVAL)
        .max_udp_payload_size(largest)
        .expect("no way has less than QUIC asks for");
    match (randomness, place) {
        (Randomness::System, None) => {
            config.cid_generator(|| {
                Box::new(RandomConnectionIdGenerator::new(CONNECTION_ID_BYTES))
                    as Box<dyn ConnectionIdGenerator>
            });
        }
        (Randomness::System, Some(place)) => {
            config.cid_generator(move || Box::new(PlacedIds::new(place)));
        }
        // Simulated networks share no address.
        (Randomness::Seeded(seed), _) => {
            let seed = *seed;
            config.rng_seed(Some(seed));
            config.cid_generator(move || Box::new(SeededIds::new(&seed, CONNECTION_ID_BYTES)));
        }
    }
    config
}

/// How often a silent connection sends a keep-alive.
fn keep_alive(
    config: &TransportConfig,
    idle: Duration,
    side: Side,
    randomness: &Randomness,
) -> Option<Duration> {
    let interval = config.keep_alive.filter(|interval| !interval.is_zero())?;
    let interval = interval.max(LEAST_KEEP_ALIVE);
    Some(match side {
        // Up to a fifth shorter, so that clients that came together do not stay in step.
        Side::Client => interval
            .min(idle / 3)
            .mul_f64(1.0 - 0.2 * randomness.fraction()),
        Side::Server => interval.min(idle / 2),
    })
}

fn window(bytes: Option<u64>) -> VarInt {
    let bytes = bytes.unwrap_or(u64::MAX).min(MOST_WINDOW);
    VarInt::from_u64(bytes).unwrap_or(VarInt::MAX)
}

/// A number of streams; QUIC ends at 2^60, far above a u32.
pub(crate) fn stream_count(count: u32) -> VarInt {
    VarInt::from_u32(count)
}

/// A code as QUIC carries it. One beyond QUIC's 62 bits, which none of ours is, becomes the
/// largest.
pub(crate) fn varint(code: Code) -> VarInt {
    VarInt::from_u64(code.get()).unwrap_or(VarInt::MAX)
}

/// A code as QUIC carried it.
pub(crate) fn code(varint: VarInt) -> Code {
    Code::new(varint.into_inner())
}

/// A fresh secret for stateless resets, for endpoints that have no lasting one.
pub(crate) fn reset_secret(randomness: &Randomness) -> [u8; 32] {
    match randomness {
        Randomness::System => crypto::random(),
        Randomness::Seeded(seed) => {
            crypto::derive(seed, b"qsse stateless reset of a seeded endpoint")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn interval(config: &TransportConfig, side: Side, randomness: &Randomness) -> Option<Duration> {
        keep_alive(config, config.idle_timeout, side, randomness)
    }

    #[test]
    fn keep_alives_are_jittered_bounded_by_the_timeout_and_can_be_off() {
        let system = Randomness::System;
        let client = TransportConfig::client();
        let drawn: Vec<_> = (0..50)
            .map(|_| interval(&client, Side::Client, &system).unwrap())
            .collect();
        assert!(
            drawn.iter().all(|i| (8 * SECOND..=10 * SECOND).contains(i)),
            "{drawn:?}"
        );
        assert!(drawn.iter().any(|i| *i != drawn[0]));

        let hasty = client.clone().idle_timeout(3 * SECOND);
        assert!(interval(&hasty, Side::Client, &system).unwrap() <= SECOND);
        let server = TransportConfig::server();
        assert_eq!(interval(&server, Side::Server, &system), Some(15 * SECOND));
        let hasty = server.idle_timeout(4 * SECOND);
        assert_eq!(interval(&hasty, Side::Server, &system), Some(2 * SECOND));
        assert_eq!(
            interval(&client.keep_alive(Duration::ZERO), Side::Client, &system),
            None
        );
    }

    #[test]
    fn a_seed_decides_everything() {
        let ids = |seed: u8| {
            let mut ids = SeededIds::new(&[seed; 32], 20);
            [ids.generate_cid(), ids.generate_cid()]
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
        assert_ne!(ids(1)[0], ids(1)[1]);
        assert_eq!(ids(1)[0].len(), 20);

        let seeded = Randomness::Seeded([1; 32]);
        assert_eq!(seeded.fraction(), seeded.fraction());
        assert_eq!(reset_secret(&seeded), reset_secret(&seeded));
        assert_ne!(
            reset_secret(&Randomness::System),
            reset_secret(&Randomness::System)
        );
    }

    #[test]
    fn codes_pass_through_quic() {
        for number in [0, 5, (1 << 62) - 1] {
            assert_eq!(code(varint(Code::new(number))), Code::new(number));
        }
        assert_eq!(code(varint(Code::new(u64::MAX))), Code::new((1 << 62) - 1));
    }
}
