//! Translates this crate's settings to quinn's.

use std::sync::Arc;
use std::time::Duration;

use qsse_proto::Code;
use qsse_proto::limits::FOREVER;
use quinn::{AckFrequencyConfig, EndpointConfig, IdleTimeout, VarInt};
use quinn_proto::{ConnectionIdGenerator, RandomConnectionIdGenerator};

use crate::config::TransportConfig;
use crate::crypto::{self, ResetKey};

mod congestion;
mod path_mtu;
mod seeded;
mod shard_ids;

pub(crate) use congestion::Closing;
pub(crate) use path_mtu::PathMtu;
pub(crate) use seeded::{Randomness, SeededIds};
pub(crate) use shard_ids::{ShardConnectionIds, ShardId};

/// The length of random connection ids. quinn's default has 24 random bits, which collide when many
/// clients connect at once.
const CONNECTION_ID_BYTES: usize = 8;

/// The shortest interval between two stateless resets: none. quinn measures it by one clock reading
/// for all packets that it reads at a time, so any interval would drop most resets for the clients
/// of a restarted server. Those clients ask again less and less often, the last ones after half a
/// minute. A reset is smaller than the packet that it answers, so it amplifies no attack and cannot
/// be exchanged back and forth for long.
const MIN_RESET_INTERVAL: Duration = Duration::ZERO;

/// How long the peer may wait for a second packet before it acknowledges a single one, if it
/// supports that setting. QUIC's own default is 25 ms. A sender waits this long before it treats
/// its last packet as lost. At a hundred events a second, 16 ms still allows two packets per
/// acknowledgement; with less than 10 ms and a margin, each event would cost an acknowledgement.
const ACK_DELAY: Duration = Duration::from_millis(16);

/// The shortest time between keep-alives.
const LEAST_KEEP_ALIVE: Duration = Duration::from_millis(10);

/// The largest window. The sum of the window and the received bytes must be a number that QUIC can
/// encode.
const MOST_WINDOW: u64 = 1 << 61;

/// Which side of a connection a configuration is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// Returns the connection settings of one side. `config` must be filled in for that side. `closing`
/// tells that the endpoint is being closed.
pub(crate) fn transport(
    config: &TransportConfig,
    side: Side,
    path: PathMtu,
    randomness: &Randomness,
    closing: &Closing,
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
        .mtu_discovery_config(Some(path.discovery(config)))
        .congestion_controller_factory(Arc::new(congestion::Factory::new(closing)))
        // A stream that replays history must not starve the live ones.
        .send_fairness(true)
        // qsse sends no datagrams, only streams.
        .datagram_receive_buffer_size(None);
    quinn.ack_frequency_config(Some(ack_frequency(config.ack_threshold)));
    quinn
}

/// Returns the settings by which the peer acknowledges `packets` packets at once, or earlier.
fn ack_frequency(packets: u32) -> AckFrequencyConfig {
    let mut frequency = AckFrequencyConfig::default();
    frequency
        .max_ack_delay(Some(ACK_DELAY))
        .ack_eliciting_threshold(VarInt::from_u32(packets.saturating_sub(1)))
        // The peer reports a gap at once.
        .reordering_threshold(VarInt::from_u32(1));
    frequency
}

/// Returns the settings of an endpoint. Its stateless resets are signed with `reset_secret`.
/// `shard` is set if it shares its address with others. `path` decides how large the received
/// packets may be.
pub(crate) fn endpoint(
    config: &TransportConfig,
    reset_secret: &[u8; 32],
    randomness: &Randomness,
    path: PathMtu,
    shard: Option<ShardId>,
) -> EndpointConfig {
    let largest = path.max_payload(config);
    let mut config = EndpointConfig::new(Arc::new(ResetKey::new(reset_secret)));
    config
        .min_reset_interval(MIN_RESET_INTERVAL)
        .max_udp_payload_size(largest)
        .expect("every path carries what QUIC requires");
    match (randomness, shard) {
        (Randomness::System, None) => {
            config.cid_generator(|| {
                Box::new(RandomConnectionIdGenerator::new(CONNECTION_ID_BYTES))
                    as Box<dyn ConnectionIdGenerator>
            });
        }
        (Randomness::System, Some(shard)) => {
            config.cid_generator(move || Box::new(ShardConnectionIds::new(shard)));
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

/// Returns the interval at which a silent connection sends keep-alives.
fn keep_alive(
    config: &TransportConfig,
    idle: Duration,
    side: Side,
    randomness: &Randomness,
) -> Option<Duration> {
    let interval = config.keep_alive.filter(|interval| !interval.is_zero())?;
    let interval = interval.max(LEAST_KEEP_ALIVE);
    Some(match side {
        // Up to a fifth shorter, so that clients that connected together do not stay in step.
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

/// Converts a number of streams. QUIC's maximum of 2^60 is far above a u32.
pub(crate) fn stream_count(count: u32) -> VarInt {
    VarInt::from_u32(count)
}

/// Encodes a code for QUIC. A code of more than 62 bits, which qsse does not define, becomes the
/// largest.
pub(crate) fn varint(code: Code) -> VarInt {
    VarInt::from_u64(code.get()).unwrap_or(VarInt::MAX)
}

/// Decodes a code from QUIC.
pub(crate) fn code(varint: VarInt) -> Code {
    Code::new(varint.into_inner())
}

/// Returns a new secret for the stateless resets of an endpoint that has no permanent one.
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
