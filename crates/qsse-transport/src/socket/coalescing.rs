//! [`Coalescing`]: a socket that sends several runs of datagrams in one system call.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::sync::Notify;

/// The bytes of datagrams that go to the system in one call. The system counts them as one UDP
/// datagram before it splits them, and that holds at most 65,507.
const MAX_RUN_BYTES: usize = 65_000;

/// A socket that holds whole runs of datagrams back while the runtime has other tasks to run and
/// more datagrams may follow. quinn puts at most ten into a run, and the system takes five times as
/// much in one call.
///
/// It holds back only datagrams of one size with one destination. It sends all others at once,
/// single ones too. Datagrams leave in the order in which they were handed over.
pub(crate) struct Coalescing {
    socket: Arc<dyn AsyncUdpSocket>,
    pending: Mutex<PendingRun>,
    has_pending: Arc<Notify>,
}

/// The datagrams that are held back.
#[derive(Default)]
struct PendingRun {
    /// Empty if there are none.
    bytes: Vec<u8>,
    header: Option<RunHeader>,
}

/// What all datagrams of a run have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct RunHeader {
    destination: SocketAddr,
    src_ip: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    datagram_bytes: usize,
}

impl Coalescing {
    /// Wraps `socket`, and spawns onto the current runtime the task that sends what is held back.
    /// The task ends with the socket.
    pub(crate) fn new(socket: Arc<dyn AsyncUdpSocket>) -> Arc<Self> {
        let has_pending = Arc::new(Notify::new());
        let coalescing = Arc::new(Self {
            socket,
            pending: Mutex::default(),
            has_pending: Arc::clone(&has_pending),
        });
        tokio::spawn(send_pending(Arc::downgrade(&coalescing), has_pending));
        coalescing
    }

    fn pending(&self) -> MutexGuard<'_, PendingRun> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the pending run each time that the runtime has run all tasks that were ready.
async fn send_pending(coalescing: Weak<Coalescing>, has_pending: Arc<Notify>) {
    loop {
        has_pending.notified().await;
        tokio::task::yield_now().await;
        let Some(coalescing) = coalescing.upgrade() else {
            return;
        };
        // Made only if the socket is full, which is rare.
        let mut poller = None;
        let sent = std::future::poll_fn(|cx| {
            while coalescing.pending().send_to(&*coalescing.socket).is_err() {
                let poller =
                    poller.get_or_insert_with(|| Arc::clone(&coalescing.socket).create_io_poller());
                std::task::ready!(poller.as_mut().poll_writable(cx))?;
            }
            Poll::Ready(io::Result::Ok(()))
        });
        if sent.await.is_err() {
            return;
        }
    }
}

impl PendingRun {
    /// Adds `transmit` if it fits into the run, and returns whether it did.
    fn add(&mut self, transmit: &Transmit<'_>, limit: usize) -> bool {
        let Some(header) = self.header.filter(|_| self.may_grow(limit)) else {
            return false;
        };
        let next = RunHeader::of(transmit);
        // The last datagram of a run may be shorter. A single longer one is an MTU probe.
        let is_last =
            transmit.segment_size.is_none() && next.datagram_bytes < header.datagram_bytes;
        let datagram_bytes = if is_last {
            header.datagram_bytes
        } else {
            next.datagram_bytes
        };
        let bytes = self.bytes.len() + transmit.contents.len();
        let fits = bytes <= MAX_RUN_BYTES && bytes.div_ceil(datagram_bytes) <= limit;
        let next = RunHeader {
            datagram_bytes,
            ..next
        };
        let belongs = fits && header == next;
        if belongs {
            self.bytes.extend_from_slice(transmit.contents);
        }
        belongs
    }

    /// Starts a run with `transmit` if more datagrams may follow it, and returns whether it did.
    /// The run must be empty.
    fn start(&mut self, transmit: &Transmit<'_>, limit: usize) -> bool {
        let (header, bytes) = (RunHeader::of(transmit), transmit.contents);
        let starts = transmit.segment_size.is_some() && header.may_follow(bytes.len(), limit);
        if starts {
            self.header = Some(header);
            self.bytes.extend_from_slice(bytes);
        }
        starts
    }

    fn may_grow(&self, limit: usize) -> bool {
        let bytes = self.bytes.len();
        self.header
            .is_some_and(|header| header.may_follow(bytes, limit))
    }

    fn send_to(&mut self, socket: &dyn AsyncUdpSocket) -> io::Result<()> {
        let Some(header) = self.header else {
            return Ok(());
        };
        let sent = socket.try_send(&Transmit {
            destination: header.destination,
            ecn: header.ecn,
            contents: &self.bytes,
            segment_size: Some(header.datagram_bytes),
            src_ip: header.src_ip,
        });
        if sent.as_ref().is_err_and(is_blocked) {
            return sent;
        }
        self.clear();
        // After any other error the datagrams count as lost in the network.
        Ok(())
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.header = None;
    }
}

impl RunHeader {
    fn of(transmit: &Transmit<'_>) -> Self {
        Self {
            destination: transmit.destination,
            src_ip: transmit.src_ip,
            ecn: transmit.ecn,
            datagram_bytes: transmit.segment_size.unwrap_or(transmit.contents.len()),
        }
    }

    /// Returns whether one more datagram may follow a run of `bytes`.
    fn may_follow(&self, bytes: usize, limit: usize) -> bool {
        bytes.is_multiple_of(self.datagram_bytes)
            && bytes + self.datagram_bytes <= MAX_RUN_BYTES
            && bytes / self.datagram_bytes < limit
    }
}

fn is_blocked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

impl AsyncUdpSocket for Coalescing {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let limit = self.socket.max_transmit_segments();
        let mut pending = self.pending();
        if pending.add(transmit, limit) {
            if !pending.may_grow(limit) {
                // If the socket is full, the task sends it.
                let _ = pending.send_to(&*self.socket);
            }
            return Ok(());
        }
        pending.send_to(&*self.socket)?;
        if pending.start(transmit, limit) {
            self.has_pending.notify_one();
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

impl Drop for Coalescing {
    fn drop(&mut self) {
        // They may contain the reason for which a connection ends.
        let _ = self.pending().send_to(&*self.socket);
        self.has_pending.notify_one();
    }
}

impl fmt::Debug for Coalescing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Coalescing").field(&self.socket).finish()
    }
}

#[cfg(test)]
mod tests;
