//! [`Network`]: the addresses that count as one client's.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that one client may be expected to have: a /24 of IPv4, a /56 of IPv6.
///
/// Limits by address count by network, because a client can have many addresses. A provider gives a
/// customer a /56 or a /64 of IPv6, so a limit by /64 would be 256 times as high for some. In IPv4
/// whoever has several addresses usually has neighbouring ones, and providers own no less than a
/// /24.
///
/// ```
/// use qsse_transport::Network;
///
/// let network = Network::of("192.0.2.17".parse()?);
/// assert_eq!(network, Network::of("::ffff:192.0.2.99".parse()?));
/// assert_eq!(network.to_string(), "192.0.2.0/24");
/// assert_eq!(Network::of("2001:db8:0:1ff::1".parse()?).to_string(), "2001:db8:0:100::/56");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// Returns the network of an address. An IPv4 address that is mapped to IPv6 is one of IPv4.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Ipv4Addr::new(a, b, c, 0).into()
            }
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 72 << 72).into(),
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.0.is_ipv4() { 24 } else { 56 };
        write!(f, "{}/{bits}", self.0)
    }
}
