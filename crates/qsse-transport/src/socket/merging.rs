//! [`Merging`]: a socket that sends in one call what a connection sends in several.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::sync::Notify;

/// Bytes of datagrams that go to the system in one call: less than the 65,507 of a UDP datagram, the
/// limit for several that it splits itself.
const MOST: usize = 65_000;

/// A socket that keeps whole runs of datagrams back for as long as the runtime has other tasks to run
/// and more may follow, since the library has ten in a run at most and the system takes five times as
/// much in a call.
///
/// Only datagrams of one size that go the same way are kept back. All others, so single ones, are
/// sent at once, and datagrams leave in the order in which they were handed over.
pub(crate) struct Merging {
    socket: Arc<dyn AsyncUdpSocket>,
    held: Mutex<Held>,
    is_held: Arc<Notify>,
}

/// Datagrams of one size that are kept back.
#[derive(Default)]
struct Held {
    /// Empty when nothing is.
    bytes: Vec<u8>,
    way: Option<Way>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Way {
    destination: SocketAddr,
    src_ip: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    datagram: usize,
}

impl Merging {
    /// Wraps `socket`, and spawns the task that sends what is kept back onto the current runtime; it
    /// ends with the socket.
    pub(crate) fn new(socket: Arc<dyn AsyncUdpSocket>) -> Arc<Self> {
        let is_held = Arc::new(Notify::new());
        let merging = Arc::new(Self {
            socket,
            held: Mutex::default(),
            is_held: Arc::clone(&is_held),
        });
        tokio::spawn(send_held(Arc::downgrade(&merging), is_held));
        merging
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what is kept back, each time that the runtime has run all that was ready.
async fn send_held(merging: Weak<Merging>, is_held: Arc<Notify>) {
    loop {
        is_held.notified().await;
        tokio::task::yield_now().await;
        let Some(merging) = merging.upgrade() else {
            return;
        };
        // Mostly the socket has room.
        let mut poller = None;
        let sent = std::future::poll_fn(|cx| {
            while merging.held().send_to(&*merging.socket).is_err() {
                let poller =
                    poller.get_or_insert_with(|| Arc::clone(&merging.socket).create_io_poller());
                std::task::ready!(poller.as_mut().poll_writable(cx))?;
            }
            Poll::Ready(io::Result::Ok(()))
        });
        if sent.await.is_err() {
            return;
        }
    }
}

impl Held {
    /// Whether `transmit` was added to what is kept back.
    fn takes(&mut self, transmit: &Transmit<'_>, limit: usize) -> bool {
        let Some(way) = self.way.filter(|_| self.may_grow(limit)) else {
            return false;
        };
        let next = Way::of(transmit);
        // The last datagram may be shorter. A longer one asks how large they may be.
        let is_last = transmit.segment_size.is_none() && next.datagram < way.datagram;
        let datagram = if is_last { way.datagram } else { next.datagram };
        let len = self.bytes.len() + transmit.contents.len();
        let fits = len <= MOST && len.div_ceil(datagram) <= limit;
        let takes = fits && way == Way { datagram, ..next };
        if takes {
            self.bytes.extend_from_slice(transmit.contents);
        }
        takes
    }

    /// Whether `transmit` is kept back, as more may follow; nothing is before.
    fn begins_with(&mut self, transmit: &Transmit<'_>, limit: usize) -> bool {
        let (way, bytes) = (Way::of(transmit), transmit.contents);
        let begins = transmit.segment_size.is_some() && way.may_follow(bytes.len(), limit);
        if begins {
            self.way = Some(way);
            self.bytes.extend_from_slice(bytes);
        }
        begins
    }

    fn may_grow(&self, limit: usize) -> bool {
        let len = self.bytes.len();
        self.way.is_some_and(|way| way.may_follow(len, limit))
    }

    fn send_to(&mut self, socket: &dyn AsyncUdpSocket) -> io::Result<()> {
        let Some(way) = self.way else {
            return Ok(());
        };
        let sent = socket.try_send(&Transmit {
            destination: way.destination,
            ecn: way.ecn,
            contents: &self.bytes,
            segment_size: Some(way.datagram),
            src_ip: way.src_ip,
        });
        if sent.as_ref().is_err_and(is_blocked) {
            return sent;
        }
        self.clear();
        // Any other error lost the datagrams, as a network may.
        Ok(())
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.way = None;
    }
}

impl Way {
    fn of(transmit: &Transmit<'_>) -> Self {
        Self {
            destination: transmit.destination,
            src_ip: transmit.src_ip,
            ecn: transmit.ecn,
            datagram: transmit.segment_size.unwrap_or(transmit.contents.len()),
        }
    }

    /// Whether a datagram more may follow `len` bytes.
    fn may_follow(&self, len: usize, limit: usize) -> bool {
        len.is_multiple_of(self.datagram)
            && len + self.datagram <= MOST
            && len / self.datagram < limit
    }
}

fn is_blocked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

impl AsyncUdpSocket for Merging {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let limit = self.socket.max_transmit_segments();
        let mut held = self.held();
        if held.takes(transmit, limit) {
            if !held.may_grow(limit) {
                // Where the socket is full, the task sends it.
                let _ = held.send_to(&*self.socket);
            }
            return Ok(());
        }
        held.send_to(&*self.socket)?;
        if held.begins_with(transmit, limit) {
            self.is_held.notify_one();
            return Ok(());
        }
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

impl Drop for Merging {
    fn drop(&mut self) {
        // The last ones may say why a connection ends.
        let _ = self.held().send_to(&*self.socket);
        self.is_held.notify_one();
    }
}

impl fmt::Debug for Merging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Merging").field(&self.socket).finish()
    }
}

#[cfg(test)]
mod tests;
