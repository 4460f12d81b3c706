//! [`Shared`]: what the handles of a server's endpoint share.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use qsse_proto::Code;
use tokio::sync::watch;

use super::admission::Gate;
use super::configs::Configs;
use super::in_turn::{InTurn, Turn};
use super::shard::Shard;
use crate::config::TransportConfig;
use crate::error::cut;
use crate::quic::{Closing, PathMtu, Randomness, varint};
use crate::socket::UdpBuffers;

/// The state of an endpoint.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) shards: Vec<Shard>,
    pub(super) in_turn: InTurn,
    pub(super) address: SocketAddr,
    pub(super) buffers: Option<UdpBuffers>,
    pub(super) gate: Arc<Gate>,
    pub(super) quinn: Mutex<Configs>,
    pub(super) config: TransportConfig,
    pub(super) randomness: Randomness,
    /// Whether [`close`](Self::close) was called.
    pub(super) closing: Closing,
    pub(super) stopped: watch::Sender<bool>,
}

impl Shared {
    /// Polls for the next client of any shard, starting with the shard whose turn it is. Returns
    /// `None` if a shard has ended.
    pub(super) fn poll_accept<'s>(
        &'s self,
        accepts: &mut [Pin<Box<quinn::Accept<'_>>>],
        turn: Turn,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(quinn::Incoming, &'s Shard)>> {
        turn.poll(accepts.len(), |at| accepts[at].as_mut().poll(cx))
            .map(|(at, incoming)| Some((incoming?, &self.shards[at])))
    }

    /// Returns the settings for a client whose path carries more than the standard one.
    pub(super) fn config_for(
        &self,
        incoming: &quinn::Incoming,
    ) -> Option<Arc<quinn::ServerConfig>> {
        // A simulated network has no routes.
        self.buffers?;
        let path = PathMtu::to(incoming.remote_address(), &self.config);
        let quinn = self.quinn.lock().expect("no code panics while holding it");
        quinn.for_path(path)
    }

    pub(super) fn open_connections(&self) -> usize {
        let open = |shard: &Shard| shard.endpoint.open_connections();
        self.shards.iter().map(open).sum()
    }

    pub(super) fn stop_accepting(&self) {
        let first = self
            .stopped
            .send_if_modified(|stopped| !std::mem::replace(stopped, true));
        if !first {
            return;
        }
        for Shard {
            endpoint, runtime, ..
        } in &self.shards
        {
            // A refused client knows at once; an ignored one would wait for its deadline.
            let endpoint = endpoint.clone();
            let gate = self.gate.clone();
            runtime.spawn(async move {
                while let Some(incoming) = endpoint.accept().await {
                    gate.count_refused();
                    incoming.refuse();
                }
            });
        }
    }

    pub(super) fn close(&self, code: Code, reason: &str) {
        self.closing.begin();
        for shard in &self.shards {
            shard.endpoint.close(varint(code), cut(reason).as_bytes());
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close(Code::NO_ERROR, "");
    }
}
