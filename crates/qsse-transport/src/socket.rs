//! UDP sockets: bound, and given buffers for bursts.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// The kernel buffers of an endpoint's socket, in bytes of payload as the system reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpBuffers {
    /// What was asked for, each.
    pub requested: usize,
    /// What the send buffer holds.
    pub send: usize,
    /// What the receive buffer holds.
    pub receive: usize,
}

impl UdpBuffers {
    /// Whether the system gave less than was asked for.
    pub fn clipped(&self) -> bool {
        self.send.min(self.receive) < self.requested
    }
}

/// Binds a UDP socket to `address` with buffers of `buffer` bytes, as far as the system allows; 0
/// leaves its default.
///
/// Addresses are never shared with another socket: a second server on the port is an error, not a
/// thief of packets.
pub(crate) fn bind(address: SocketAddr, buffer: usize) -> io::Result<(UdpSocket, UdpBuffers)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // `[::]` means every address, IPv4 included; where the system cannot, IPv6 alone.
        if let Err(error) = socket.set_only_v6(false) {
            tracing::debug!(%error, "the socket takes IPv6 only");
        }
    }
    if buffer > 0 {
        // A refusal shows in what is read back.
        let _ = socket.set_send_buffer_size(buffer);
        let _ = socket.set_recv_buffer_size(buffer);
    }
    let buffers = UdpBuffers {
        requested: buffer,
        send: usable(socket.send_buffer_size()?),
        receive: usable(socket.recv_buffer_size()?),
    };
    socket.bind(&address.into())?;
    Ok((socket.into(), buffers))
}

/// Linux reports twice what was set, the other half being its own bookkeeping.
fn usable(reported: usize) -> usize {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        reported / 2
    } else {
        reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_read_back() {
        let (_socket, small) = bind("127.0.0.1:0".parse().unwrap(), 64 * 1024).unwrap();
        assert!(!small.clipped(), "{small:?}");
        let (_socket, huge) = bind("127.0.0.1:0".parse().unwrap(), 1 << 30).unwrap();
        assert!(huge.clipped(), "{huge:?}");
        let (_socket, default) = bind("127.0.0.1:0".parse().unwrap(), 0).unwrap();
        assert!(!default.clipped() && default.receive > 0, "{default:?}");
    }
}
