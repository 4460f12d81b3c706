//! UDP sockets, with buffers that are large enough for bursts.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

pub(crate) mod coalescing;
#[cfg(target_os = "linux")]
pub(crate) mod options;
pub(crate) mod released;

/// The kernel buffers of an endpoint's socket, in bytes of payload, as the system reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpBuffers {
    /// The size that was requested for each.
    pub requested: usize,
    /// The size of the send buffer.
    pub send: usize,
    /// The size of the receive buffer.
    pub receive: usize,
}

impl UdpBuffers {
    /// Returns whether the system granted less than requested.
    pub fn clipped(&self) -> bool {
        self.send.min(self.receive) < self.requested
    }
}

/// Binds a UDP socket to `address`. Requests buffers of `buffer` bytes; 0 leaves the system's
/// default.
///
/// The address is never shared: a second server on the port is an error, and cannot steal packets.
pub(crate) fn bind(address: SocketAddr, buffer: usize) -> io::Result<(UdpSocket, UdpBuffers)> {
    let (socket, buffers) = open(address, buffer)?;
    socket.bind(&address.into())?;
    Ok((socket.into(), buffers))
}

/// Binds `count` UDP sockets to one `address`, each as [`bind`] does. The system passes each
/// datagram to the socket that its connection id names; see [`ShardId`](crate::quic::ShardId).
#[cfg(target_os = "linux")]
pub(crate) fn bind_shards(
    address: SocketAddr,
    buffer: usize,
    count: u8,
) -> io::Result<(Vec<UdpSocket>, UdpBuffers)> {
    let (first, buffers) = open(address, buffer)?;
    // The address is not shared yet, so this fails if any other socket has the port, even one that
    // would share it.
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    // This has the port that the system chose.
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        let (next, _) = open(address, buffer)?;
        next.set_reuse_port(true)?;
        next.bind(&bound)?;
        sockets.push(next);
    }
    options::steer(&sockets[0], count)?;
    Ok((sockets.into_iter().map(Into::into).collect(), buffers))
}

/// Returns the MTU of the first hop to `remote`, by the route that the system would take now;
/// `None` if it does not say. Sends nothing.
pub(crate) fn mtu_to(remote: SocketAddr) -> Option<u32> {
    #[cfg(target_os = "linux")]
    {
        let remote = canonical(remote);
        let socket = Socket::new(Domain::for_address(remote), Type::DGRAM, None).ok()?;
        socket.connect(&remote.into()).ok()?;
        options::mtu(&socket, remote.is_ipv6()).ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = remote;
        None
    }
}

/// Returns the address with a mapped IPv4 address written as IPv4, as when an IPv6 socket received
/// from it.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn open(address: SocketAddr, buffer: usize) -> io::Result<(Socket, UdpBuffers)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // `[::]` means all addresses, IPv4 included. Where the system cannot do that, it means IPv6
        // alone.
        if let Err(error) = socket.set_only_v6(false) {
            tracing::debug!(%error, "the socket takes IPv6 only");
        }
    }
    if buffer > 0 {
        // The system stores the doubled size in a signed 32-bit number.
        let buffer = buffer.min(1 << 30);
        // The size that is read back shows a refusal.
        let _ = socket.set_send_buffer_size(buffer);
        let _ = socket.set_recv_buffer_size(buffer);
    }
    let buffers = UdpBuffers {
        requested: buffer,
        send: usable(socket.send_buffer_size()?),
        receive: usable(socket.recv_buffer_size()?),
    };
    Ok((socket, buffers))
}

/// Returns the payload part of a reported size. Linux reports twice the size that was set; the
/// other half is for its bookkeeping.
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

    #[cfg(target_os = "linux")]
    #[test]
    fn datagrams_go_to_the_socket_that_their_connection_id_names() {
        let loopback = "127.0.0.1:0".parse().unwrap();
        for count in [2, 3, 64] {
            let (sockets, _) = bind_shards(loopback, 1 << 20, count).unwrap();
            let address = sockets[0].local_addr().unwrap();
            // The sender's port must not matter, though the system goes by it otherwise.
            let senders: Vec<_> = (0..8).map(|_| UdpSocket::bind(loopback).unwrap()).collect();
            let short = |id| vec![0x40, id, 1, 2, 3, 4, 5, 6, 7];
            let long = |id| vec![0xc0, 0, 0, 0, 1, 8, id, 1, 2, 3, 4, 5, 6, 7];
            for id in 0..=u8::MAX {
                let sender = &senders[usize::from(id) % senders.len()];
                sender.send_to(&short(id), address).unwrap();
                sender.send_to(&long(id), address).unwrap();
            }
            let mut arrived = 0;
            for (index, socket) in (0..count).zip(&sockets) {
                assert_eq!(socket.local_addr().unwrap(), address);
                socket.set_nonblocking(true).unwrap();
                let mut datagram = [0; 64];
                // On loopback, datagrams have arrived once they are sent.
                while let Ok(length) = socket.recv(&mut datagram) {
                    let id = if length == 9 {
                        datagram[1]
                    } else {
                        datagram[6]
                    };
                    assert_eq!(id % count, index, "of {count}");
                    arrived += 1;
                }
            }
            assert_eq!(arrived, 512);
        }
    }
}
