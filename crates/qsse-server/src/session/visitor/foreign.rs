//! [`Foreign`]: a visitor's side of a connection that is not ours.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use qsse_proto::Code;
use qsse_transport::rustls::pki_types::CertificateDer;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use super::caller::Caller;
use super::refused::Refused;
use crate::session::peer::{Peer, Traffic};

/// A client of another protocol. The binding reads and writes; this says when it has to stop.
#[derive(Debug)]
pub(super) struct Foreign {
    protocol: &'static str,
    address: SocketAddr,
    certificates: Vec<CertificateDer<'static>>,
    /// Why the server ended it.
    ended: OnceLock<Refused>,
    gone: CancellationToken,
    sent: AtomicU64,
    received: AtomicU64,
    /// The id of its next subscription.
    next_id: AtomicU32,
    /// A subscription has ended.
    left: Notify,
}

impl Foreign {
    pub(super) fn new(caller: &Caller<'_>) -> Self {
        Self {
            protocol: caller.protocol,
            address: caller.address,
            certificates: caller.certificates.to_vec(),
            ended: OnceLock::new(),
            gone: CancellationToken::new(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            next_id: AtomicU32::new(0),
            left: Notify::new(),
        }
    }

    /// Returns the id of a new subscription, above all others. Call it under the lock of the
    /// subscriptions.
    pub(super) fn next_id(&self) -> u32 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Completes once the server or the binding has ended the visit.
    pub(super) fn gone(&self) -> WaitForCancellationFutureOwned {
        self.gone.clone().cancelled_owned()
    }

    /// Notes that a subscription has ended.
    pub(super) fn note_left(&self) {
        self.left.notify_one();
    }

    /// Waits until a subscription has ended.
    pub(super) async fn left(&self) {
        self.left.notified().await;
    }

    /// Ends the visit when this is dropped.
    pub(super) fn drop_guard(&self) -> DropGuard {
        self.gone.clone().drop_guard()
    }

    /// Returns why the server ended the visit.
    pub(super) fn ended(&self) -> Option<Refused> {
        self.ended.get().cloned()
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Peer for Foreign {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn protocol(&self) -> String {
        self.protocol.into()
    }

    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.certificates.clone()
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            bytes_sent: self.sent.load(Ordering::Relaxed),
            bytes_received: self.received.load(Ordering::Relaxed),
            ..Traffic::default()
        }
    }

    fn close(&self, code: Code, reason: &str) {
        // The first reason counts.
        let _ = self.ended.set(Refused::new(code, reason));
        self.gone.cancel();
    }
}
