//! [`Way`]: what is known of the network between two peers before the first packet, and how it is probed for larger ones.

use std::net::SocketAddr;

use quinn::MtuDiscoveryConfig;

use crate::config::TransportConfig;
use crate::socket;

/// Where a peer is, as far as the size of packets goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In a network like most, or nothing is known.
    Usual,
    /// Behind a first hop that takes large packets. What follows may take less.
    Wide,
    /// On this machine.
    Host,
}

/// Payload that fits an Ethernet frame with every header, and what most paths take.
const USUAL_PAYLOAD: u16 = 1452;

/// What a peer that says nothing takes, and more than any [usual](Way::Usual) way does.
const USUAL_LIMIT: u16 = 1472;

/// Headers of IPv6 and UDP.
const HEADERS: u32 = 48;

/// No network between machines has packets as large as the loopback device.
const HOST_MTU: u32 = 65_535;

/// RFC 9000, section 14.
const LEAST_PAYLOAD: u16 = 1200;

/// A tenth of the longest UDP datagram, nearly: ten packets are handed to the system as one.
const MOST_PAYLOAD: u16 = 6500;

impl Way {
    /// The way to `remote` from here, as the system would route it now.
    pub(crate) fn to(remote: SocketAddr, config: &TransportConfig) -> Self {
        let largest = largest(config);
        if largest <= USUAL_LIMIT {
            return Self::Usual;
        }
        match socket::mtu_to(remote) {
            Some(HOST_MTU..) => Self::Host,
            Some(mtu) if mtu >= u32::from(largest) + HEADERS => Self::Wide,
            _ => Self::Usual,
        }
    }

    /// The largest payload that is taken from this way.
    pub(super) fn limit(self, config: &TransportConfig) -> u16 {
        match self {
            Self::Usual => USUAL_LIMIT,
            Self::Wide | Self::Host => largest(config).max(USUAL_LIMIT),
        }
    }

    /// How it is probed.
    pub(super) fn probes(self, config: &TransportConfig) -> MtuDiscoveryConfig {
        let largest = match self {
            Self::Usual => largest(config).min(USUAL_PAYLOAD),
            Self::Wide | Self::Host => largest(config),
        };
        let least = config.initial_mtu.max(LEAST_PAYLOAD);
        let largest = largest.max(least);
        // A search no finer than half of what there is to gain begins with the largest, and only where that gets lost goes on
        // to the middle. On a wide way the peer may say that it takes no more than a usual one does.
        let limit = match self {
            Self::Wide => USUAL_LIMIT.max(least),
            Self::Usual | Self::Host => largest,
        };
        let mut probes = MtuDiscoveryConfig::default();
        probes
            .upper_bound(largest)
            .minimum_change((limit - least) / 2 + 1);
        probes
    }
}

fn largest(config: &TransportConfig) -> u16 {
    config.max_mtu.min(MOST_PAYLOAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_on_this_machine_is_known() {
        let config = TransportConfig::server();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 4242));
        let known = if cfg!(target_os = "linux") && loopback_mtu() >= HOST_MTU {
            Way::Host
        } else {
            Way::Usual
        };
        assert_eq!(Way::to(loopback, &config), known);
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:4242".parse().unwrap();
        assert_eq!(Way::to(mapped, &config), known);
        // Those who want no larger packets need not look.
        assert_eq!(Way::to(loopback, &config.max_mtu(1452)), Way::Usual);
        // There is no way to nowhere.
        let nowhere = SocketAddr::from(([255, 255, 255, 255], 1));
        assert_eq!(Way::to(nowhere, &TransportConfig::server()), Way::Usual);
    }

    fn loopback_mtu() -> u32 {
        let text = std::fs::read_to_string("/sys/class/net/lo/mtu").unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    #[test]
    fn a_configured_packet_size_is_never_exceeded() {
        let config = TransportConfig::client();
        assert_eq!(Way::Usual.limit(&config), 1472);
        assert_eq!(Way::Wide.limit(&config), config.max_mtu);
        assert_eq!(Way::Host.limit(&config.max_mtu(1200)), 1472);
    }
}
