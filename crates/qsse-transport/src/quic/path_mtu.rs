//! [`PathMtu`]: the packet sizes that the path to a peer may take, and how a connection probes for
//! them.

use std::net::SocketAddr;

use quinn::MtuDiscoveryConfig;

use crate::config::TransportConfig;
use crate::socket;

/// The packet size that the path to a peer may take, as the first hop tells before any packet is
/// sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathMtu {
    /// That of most networks. Also used where the first hop is unknown.
    Standard,
    /// The first hop takes jumbo frames. Later hops may take less.
    Jumbo,
    /// The peer is on this machine.
    Loopback,
}

/// The payload that fits into an Ethernet frame with all headers. Most paths take it.
const STANDARD_PAYLOAD: u16 = 1452;

/// The largest payload that a peer accepts if it does not say otherwise. No
/// [standard](PathMtu::Standard) path carries more.
const STANDARD_LIMIT: u16 = 1472;

/// The bytes of the IPv6 and UDP headers.
const HEADERS: u32 = 48;

/// The MTU of the loopback device. No network between machines has packets this large.
const LOOPBACK_MTU: u32 = 65_535;

/// The least payload that a path must carry: RFC 9000, section 14.
const MIN_PAYLOAD: u16 = 1200;

/// The largest payload that is used: the system gets ten packets as one datagram, which holds at
/// most 65,507 bytes.
const MAX_PAYLOAD: u16 = 6500;

impl PathMtu {
    /// Returns the class of the path to `remote`, by the route that the system would take now.
    pub(crate) fn to(remote: SocketAddr, config: &TransportConfig) -> Self {
        let largest = largest(config);
        if largest <= STANDARD_LIMIT {
            return Self::Standard;
        }
        match socket::mtu_to(remote) {
            Some(LOOPBACK_MTU..) => Self::Loopback,
            Some(mtu) if mtu >= u32::from(largest) + HEADERS => Self::Jumbo,
            _ => Self::Standard,
        }
    }

    /// Returns the largest payload to accept from this path.
    pub(super) fn max_payload(self, config: &TransportConfig) -> u16 {
        match self {
            Self::Standard => STANDARD_LIMIT,
            Self::Jumbo | Self::Loopback => largest(config).max(STANDARD_LIMIT),
        }
    }

    /// Returns the settings by which a connection probes this path.
    pub(super) fn discovery(self, config: &TransportConfig) -> MtuDiscoveryConfig {
        let largest = match self {
            Self::Standard => largest(config).min(STANDARD_PAYLOAD),
            Self::Jumbo | Self::Loopback => largest(config),
        };
        let least = config.initial_mtu.max(MIN_PAYLOAD);
        let largest = largest.max(least);
        // A search whose steps are more than half of the range probes the upper bound first, and
        // the middle only if that probe is lost. On a jumbo path the peer may accept no more than
        // on a standard one, so the range there ends at the standard limit.
        let range_end = match self {
            Self::Jumbo => STANDARD_LIMIT.max(least),
            Self::Standard | Self::Loopback => largest,
        };
        let mut discovery = MtuDiscoveryConfig::default();
        discovery
            .upper_bound(largest)
            .minimum_change((range_end - least) / 2 + 1);
        discovery
    }
}

fn largest(config: &TransportConfig) -> u16 {
    config.max_mtu.min(MAX_PAYLOAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_on_this_machine_are_recognised() {
        let config = TransportConfig::server();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 4242));
        let known = if cfg!(target_os = "linux") && loopback_mtu() >= LOOPBACK_MTU {
            PathMtu::Loopback
        } else {
            PathMtu::Standard
        };
        assert_eq!(PathMtu::to(loopback, &config), known);
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:4242".parse().unwrap();
        assert_eq!(PathMtu::to(mapped, &config), known);
        // A configuration without larger packets needs no look at the route.
        assert_eq!(
            PathMtu::to(loopback, &config.max_mtu(1452)),
            PathMtu::Standard
        );
        // There is no route to this address.
        let nowhere = SocketAddr::from(([255, 255, 255, 255], 1));
        let path = PathMtu::to(nowhere, &TransportConfig::server());
        assert_eq!(path, PathMtu::Standard);
    }

    fn loopback_mtu() -> u32 {
        let text = std::fs::read_to_string("/sys/class/net/lo/mtu").unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    #[test]
    fn a_configured_packet_size_is_never_exceeded() {
        let config = TransportConfig::client();
        assert_eq!(PathMtu::Standard.max_payload(&config), 1472);
        assert_eq!(PathMtu::Jumbo.max_payload(&config), config.max_mtu);
        assert_eq!(PathMtu::Loopback.max_payload(&config.max_mtu(1200)), 1472);
    }
}
