//! [`Shard`]: a socket of a server, and the runtime that serves it.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use quinn::{AsyncUdpSocket, TokioRuntime};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

use crate::error::BindError;
use crate::server::ServerEndpoint;
use crate::socket;
use crate::socket::UdpBuffers;
use crate::socket::merging::Merging;
use crate::socket::released::Released;

const LIMIT: usize = ServerEndpoint::MAX_SHARDS;

/// One of the sockets that a server has at its address.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) endpoint: quinn::Endpoint,
    pub(super) runtime: Handle,
    /// Handshakes that may begin at once.
    pub(super) turns: Arc<Semaphore>,
    /// Tells whether the endpoint or a connection still has it.
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

    /// Gives up the socket of an endpoint that was closed.
    pub(super) fn release(&self, address: SocketAddr) {
        // The library keeps the one before for late packets.
        for _ in 0..2 {
            let _ = self.endpoint.rebind_abstract(Arc::new(Released(address)));
        }
    }
}

/// Waits until nobody has a socket of these any more.
pub(super) async fn released(shards: &[Shard]) {
    for shard in shards {
        while shard.socket.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A socket to be read on a runtime.
pub(super) type Placed = (Arc<dyn AsyncUdpSocket>, Handle);

/// Binds as many sockets to `address` as there are runtimes. Those of one thread [merge](Merging) what is sent.
pub(super) fn bind(
    address: SocketAddr,
    runtimes: &[Handle],
    buffer: usize,
) -> Result<(Vec<Placed>, UdpBuffers), BindError> {
    let io = |error| BindError::io(address, error);
    let (sockets, buffers) = match runtimes.len() {
        1 => {
            let (socket, buffers) = socket::bind(address, buffer).map_err(io)?;
            (vec![socket], buffers)
        }
        count @ 2..=LIMIT => several(address, buffer, count)?,
        asked => {
            return Err(BindError::Shards {
                asked,
                limit: LIMIT,
            });
        }
    };
    let shared = sockets.len() > 1;
    let place = |(socket, runtime): (_, &Handle)| {
        let _reads_it = runtime.enter();
        let socket = wrap(socket, shared).map_err(io)?;
        // Threads of one runtime would wait for each other, and part each other's runs.
        let merges = runtime.runtime_flavor() == RuntimeFlavor::CurrentThread;
        let socket: Arc<dyn AsyncUdpSocket> = match merges {
            true => Merging::new(socket),
            false => socket,
        };
        Ok((socket, runtime.clone()))
    };
    let placed = sockets.into_iter().zip(runtimes).map(place);
    Ok((placed.collect::<Result<_, BindError>>()?, buffers))
}

/// Binds one socket to `address`, for the current runtime, as the library has it.
#[cfg(feature = "abstract-socket")]
pub(super) fn bind_plain(
    address: SocketAddr,
    buffer: usize,
) -> Result<(Placed, UdpBuffers), BindError> {
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

/// Hands the socket to the library, which sets its options; `shared` says that others have its
/// address.
fn wrap(socket: std::net::UdpSocket, shared: bool) -> std::io::Result<Arc<dyn AsyncUdpSocket>> {
    #[cfg(target_os = "linux")]
    if shared {
        let options = socket.try_clone()?;
        let wrapped = quinn::Runtime::wrap_udp_socket(&TokioRuntime, socket)?;
        // What the system puts together may be of several connections, and goes where its first
        // datagram belongs. Systems too old to know the option put nothing together.
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

    /// How long the first piece is that the system hands over of four datagrams sent in one.
    async fn first_piece(shards: usize) -> usize {
        let runtimes = vec![Handle::current(); shards];
        let (sockets, _) = bind(loopback(), &runtimes, 0).unwrap();
        let sender = std::net::UdpSocket::bind(loopback()).unwrap();
        let sender = TokioRuntime.wrap_udp_socket(sender).unwrap();
        assert!(sender.max_transmit_segments() >= 4, "Linux can");
        // The ids begin with 0: the first shard's.
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
