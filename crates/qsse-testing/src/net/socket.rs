//! The network as quinn sees it. All that depends on quinn's socket traits is here.

use std::{
    fmt,
    future::Future,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use tokio::time::{Sleep, sleep_until};

use super::state::State;

/// One socket of a network. Sending never blocks.
pub(super) struct Socket {
    network: Arc<Mutex<State>>,
    address: SocketAddr,
    /// Runs until the next datagram is due.
    timer: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl Socket {
    pub(super) fn open(network: Arc<Mutex<State>>, address: SocketAddr) -> Self {
        network.lock().expect(UNPOISONED).open(address);
        Self {
            network,
            address,
            timer: Mutex::new(None),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // While a test panics the lock may be poisoned; then nobody needs the address any more.
        if let Ok(mut network) = self.network.lock() {
            network.close(self.address);
        }
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let segment = transmit
            .segment_size
            .unwrap_or(transmit.contents.len())
            .max(1);
        for contents in transmit.contents.chunks(segment) {
            let reader = self.network.lock().expect(UNPOISONED).send(
                self.address,
                transmit.destination,
                transmit.ecn,
                contents,
            );
            if let Some(reader) = reader {
                reader.wake();
            }
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut timer = self.timer.lock().expect(UNPOISONED);
        loop {
            let next = self
                .network
                .lock()
                .expect(UNPOISONED)
                .receive(self.address, cx.waker());
            match next {
                Ok(datagram) => {
                    let length = datagram.contents.len().min(bufs[0].len());
                    bufs[0][..length].copy_from_slice(&datagram.contents[..length]);
                    meta[0] = RecvMeta {
                        addr: datagram.from,
                        len: length,
                        stride: length,
                        ecn: datagram.ecn,
                        dst_ip: Some(self.address.ip()),
                    };
                    return Poll::Ready(Ok(1));
                }
                Err(None) => return Poll::Pending,
                Err(Some(due)) => {
                    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
                    if timer.deadline() != due {
                        timer.as_mut().reset(due);
                    }
                    ready!(timer.as_mut().poll(cx));
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    /// Switches quinn's search for a larger packet size off: there is no size to find here.
    fn may_fragment(&self) -> bool {
        true
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const UNPOISONED: &str = "a test that panicked here is over";
