//! [`Shard`]: one socket of a server, and the runtime that serves it.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use quinn::{AsyncUdpSocket, TokioRuntime};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

use crate::error::BindError;
use crate::socket;
use crate::socket::UdpBuffers;
use crate::socket::coalescing::Coalescing;
use crate::socket::released::Released;

/// The most shards that an endpoint can have. A byte of each connection id names the shard; with
/// more of them, the shares of its 256 values would be too uneven.
pub(super) const MAX_SHARDS: usize = 64;

/// One of the sockets that share a server's address.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) endpoint: quinn::Endpoint,
    pub(super) runtime: Handle,
    /// How many handshakes may begin at the same time.
    pub(super) turns: Arc<Semaphore>,
    /// Tells whether the endpoint or a connection still holds the socket.
    socket: Weak<dyn AsyncUdpSocket>,
}

impl Shard {
    pub(super) fn new(
        endpoint: quinn::Endpoint,
        runtime: Handle,
        socket: Weak<dyn AsyncUdpSocket>,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(runtime.metrics().num_workers()));
        Self {
            endpoint,
            runtime,
            turns,
            socket,
        }
    }

    /// Gives up the socket of a closed endpoint.
    pub(super) fn release(&self, address: SocketAddr) {
        // quinn keeps the previous socket for late packets, so it takes two.
        for _ in 0..2 {
            let _ = self.endpoint.rebind_abstract(Arc::new(Released(address)));
        }
    }
}

/// Waits until nothing holds the sockets of these shards any more.
pub(super) async fn released(shards: &[Shard]) {
    for shard in shards {
        while shard.socket.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A socket and the runtime on which it is read.
pub(super) type ShardSocket = (Arc<dyn AsyncUdpSocket>, Handle);

/// Binds one socket to `address` for each runtime. Sockets of single-threaded runtimes
/// [coalesce](Coalescing) what they send.
pub(super) fn bind(
    address: SocketAddr,
    runtimes: &[Handle],
    buffer: usize,
) -> Result<(Vec<ShardSocket>, UdpBuffers), BindError> {
    let io = |error| BindError::io(address, error);
    let (sockets, buffers) = match runtimes.len() {
        1 => {
            let (socket, buffers) = socket::bind(address, buffer).map_err(io)?;
            (vec![socket], buffers)
        }
        count @ 2..=MAX_SHARDS => several(address, buffer, count)?,
        asked => {
            return Err(BindError::Shards {
                asked,
                limit: MAX_SHARDS,
            });
        }
    };
    let shared = sockets.len() > 1;
    let place = |(socket, runtime): (_, &Handle)| {
        let _reads_it = runtime.enter();
        let socket = wrap(socket, shared).map_err(io)?;
        // The threads of one runtime would wait for each other, and split each other's runs.
        let merges = runtime.runtime_flavor() == RuntimeFlavor::CurrentThread;
        let socket: Arc<dyn AsyncUdpSocket> = match merges {
            true => Coalescing::new(socket),
            false => socket,
        };
        Ok((socket, runtime.clone()))
    };
    let placed = sockets.into_iter().zip(runtimes).map(place);
    Ok((placed.collect::<Result<_, BindError>>()?, buffers))
}

/// Binds one socket to `address` for the current runtime, as quinn wraps it.
#[cfg(feature = "abstract-socket")]
pub(super) fn bind_plain(
    address: SocketAddr,
    buffer: usize,
) -> Result<(ShardSocket, UdpBuffers), BindError> {
    let runtime = Handle::try_current().map_err(|_| BindError::NoRuntime)?;
    let io = |error| BindError::io(address, error);
    let (socket, buffers) = socket::bind(address, buffer).map_err(io)?;
    Ok(((wrap(socket, false).map_err(io)?, runtime), buffers))
}

#[cfg(target_os = "linux")]
fn several(
    address: SocketAddr,
    buffer: usize,
    count: usize,
) -> Result<(Vec<std::net::UdpSocket>, UdpBuffers), BindError> {
    let count = u8::try_from(count).expect("it is within the limit");
    socket::bind_shards(address, buffer, count).map_err(|error| BindError::io(address, error))
}

#[cfg(not(target_os = "linux"))]
fn several(
    _: SocketAddr,
    _: usize,
    _: usize,
) -> Result<(Vec<std::net::UdpSocket>, UdpBuffers), BindError> {
    Err(BindError::ShardsUnsupported)
}

/// Wraps the socket for quinn, which sets its options. `shared` tells whether other sockets have
/// the same address.
fn wrap(socket: std::net::UdpSocket, shared: bool) -> std::io::Result<Arc<dyn AsyncUdpSocket>> {
    #[cfg(target_os = "linux")]
    if shared {
        let options = socket.try_clone()?;
        let wrapped = quinn::Runtime::wrap_udp_socket(&TokioRuntime, socket)?;
        // The system may merge datagrams of several connections, and delivers them where the first
        // belongs. A system too old to know the option merges none.
        let _ = socket::options::split_datagrams(&options);
        return Ok(wrapped);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = shared;
    quinn::Runtime::wrap_udp_socket(&TokioRuntime, socket)
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::IoSliceMut;

    use quinn::Runtime;
    use quinn::udp::{RecvMeta, Transmit};

    const DATAGRAM: usize = 100;

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    /// Sends four datagrams in one call. Returns the length of the first piece that the system
    /// delivers.
    async fn first_piece(shards: usize) -> usize {
        let runtimes = vec![Handle::current(); shards];
        let (sockets, _) = bind(loopback(), &runtimes, 0).unwrap();
        let sender = std::net::UdpSocket::bind(loopback()).unwrap();
        let sender = TokioRuntime.wrap_udp_socket(sender).unwrap();
        assert!(sender.max_transmit_segments() >= 4, "Linux can");
        // The ids begin with 0, so they belong to the first shard.
        let all = Transmit {
            destination: sockets[0].0.local_addr().unwrap(),
            ecn: None,
            contents: &[0; 4 * DATAGRAM],
            segment_size: Some(DATAGRAM),
            src_ip: None,
        };
        let mut poller = sender.clone().create_io_poller();
        poll_fn(|cx| poller.as_mut().poll_writable(cx))
            .await
            .unwrap();
        sender.try_send(&all).unwrap();
        let (mut buffer, mut meta) = ([0; 8 * DATAGRAM], [RecvMeta::default()]);
        let mut buffer = [IoSliceMut::new(&mut buffer)];
        let received = poll_fn(|cx| sockets[0].0.poll_recv(cx, &mut buffer, &mut meta)).await;
        assert_eq!(received.unwrap(), 1);
        meta[0].len
    }

    #[tokio::test]
    async fn shards_get_datagrams_one_by_one_since_several_could_be_of_several() {
        assert_eq!(first_piece(2).await, DATAGRAM);
        assert_eq!(first_piece(1).await, 4 * DATAGRAM);
    }
}
