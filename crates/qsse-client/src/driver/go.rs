//! [`Links`]: a client of a server that speaks the Go library's dialect.
//!
//! That dialect has one offer for each connection, so every subscription has its own connection, a
//! [`Link`], which reconnects on its own. All links run in the driver's task. Events do not pass
//! through it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use qsse_proto::Code;
use qsse_transport::{Connection, ServerUrl};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::dial::Endpoints;
use super::disconnect::{Disconnect, FAREWELL};
use super::trust::Trust;
use crate::backoff::Backoff;
use crate::core::{Command, Core};
use crate::error::{CloseReason, DisconnectReason, RefreshError};
use crate::notice::Loss;
use crate::slot::{End, Slot};

mod link;
mod link_states;

use link::{Link, LinkEnd};
use link_states::LinkStates;

/// The connections of a client, one for each subscription.
pub(super) struct Links {
    core: Arc<Core>,
    /// How further connections are made.
    url: ServerUrl,
    trust: Trust,
    endpoints: Endpoints,
    backoff: Backoff,
    states: Arc<LinkStates>,
    /// The first connection, until a subscription uses it.
    spare: Option<Connection>,
    /// By the subscription's key: tells its link that a stream has ended. Dropping a sender ends
    /// the link.
    ended_streams: BTreeMap<u64, mpsc::UnboundedSender<u32>>,
    running: FuturesUnordered<BoxFuture<'static, (u64, LinkEnd, Endpoints)>>,
    /// Wait until servers are notified of closed connections.
    farewells: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Links {
    pub(super) fn new(
        core: &Arc<Core>,
        url: &ServerUrl,
        trust: &Trust,
        endpoints: &Endpoints,
        backoff: &mut Backoff,
        spare: Connection,
    ) -> Self {
        core.set_speaks_go(true);
        let states = Arc::new(LinkStates::new(core));
        states.first_connected(&spare);
        Self {
            core: core.clone(),
            url: url.clone(),
            trust: trust.clone(),
            endpoints: endpoints.another(),
            backoff: backoff.fork(),
            states,
            spare: Some(spare),
            ended_streams: BTreeMap::new(),
            running: FuturesUnordered::new(),
            farewells: FuturesUnordered::new(),
        }
    }

    /// Serves the subscriptions until the client is closed, none is left, or the server speaks
    /// another dialect.
    pub(super) async fn run(
        &mut self,
        commands: &mut mpsc::UnboundedReceiver<Command>,
    ) -> Disconnect {
        let core = self.core.clone();
        for slot in core.slots() {
            self.subscribe(slot);
        }
        loop {
            let spare = self.spare.clone();
            let spare_closed = async {
                match spare {
                    Some(spare) => spare.closed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = core.closing.cancelled() => {
                    core.end_subscriptions(CloseReason::Local);
                    self.close().await;
                    return Disconnect::Closing;
                }
                Some(command) = commands.recv() => self.command(command),
                Some((key, end, endpoints)) = self.running.next() => {
                    self.leave(endpoints);
                    if let Some(ended) = self.link_ended(key, end) {
                        if let Disconnect::Final(reason) = &ended {
                            core.end_subscriptions(reason.clone());
                        }
                        self.close().await;
                        return ended;
                    }
                }
                Some(()) = self.farewells.next() => {}
                reason = spare_closed => {
                    tracing::debug!(%reason, "the connection closed before the first subscription");
                    self.spare = None;
                }
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Subscribe(slot) => {
                if self.core.is_registered(slot.key) && !self.ended_streams.contains_key(&slot.key)
                {
                    self.subscribe(slot);
                }
            }
            Command::Unsubscribe { key } => drop(self.ended_streams.remove(&key)),
            Command::Resume { key, id } => {
                if let Some(ended_streams) = self.ended_streams.get(&key) {
                    // It fails if the link has ended, which `run` handles.
                    let _ = ended_streams.send(id);
                }
            }
            Command::Refresh { done, .. } => drop(done.send(Err(RefreshError::Unsupported))),
        }
    }

    fn subscribe(&mut self, slot: Arc<Slot>) {
        let key = slot.key;
        let lost = match slot.enter_go() {
            Ok(lost) => lost,
            Err(what) => {
                let filter = &slot.filter;
                tracing::debug!(%filter, what, "the Go library's protocol does not support this");
                self.core.unregister(key);
                return;
            }
        };
        let (sender, ended_streams) = mpsc::unbounded_channel();
        self.ended_streams.insert(key, sender);
        let link = Link {
            core: self.core.clone(),
            slot,
            states: self.states.clone(),
            url: self.url.clone(),
            trust: self.trust.clone(),
            endpoints: self.endpoints.another(),
            backoff: self.backoff.fork(),
            number: 0,
            loss: lost.then_some(Loss::Dialect),
        };
        let spare = self.spare.take();
        self.running.push(Box::pin(link.run(ended_streams, spare)));
    }

    /// Handles the end of a link. Returns the disconnect if it ends all links.
    fn link_ended(&mut self, key: u64, end: LinkEnd) -> Option<Disconnect> {
        self.ended_streams.remove(&key);
        self.states.remove(key);
        match end {
            LinkEnd::Unsubscribed => None,
            LinkEnd::Final(reason) => {
                let server = &self.url;
                tracing::info!(%server, %reason, "the connection of a subscription ended for good");
                if let Some(slot) = self.core.slot(key) {
                    slot.end(End::of(&reason));
                }
                self.core.unregister(key);
                let is_last = self.core.slots().is_empty();
                is_last.then_some(Disconnect::Final(reason))
            }
            LinkEnd::OtherDialect => {
                tracing::info!(server = %self.url, "the server speaks another dialect than before");
                for slot in self.core.slots() {
                    slot.leave_go();
                }
                self.core.set_speaks_go(false);
                Some(Disconnect::lost(DisconnectReason::Dialect))
            }
        }
    }

    /// Closes all connections, and waits until the servers are notified.
    async fn close(&mut self) {
        self.ended_streams.clear();
        if let Some(spare) = self.spare.take() {
            spare.close(Code::NO_ERROR, "");
        }
        while let Some((_, _, endpoints)) = self.running.next().await {
            self.leave(endpoints);
        }
        let farewells = async { while self.farewells.next().await.is_some() {} };
        let _ = timeout(FAREWELL, farewells).await;
    }

    /// Waits, in the background, until the server is notified that a connection is closed.
    fn leave(&mut self, endpoints: Endpoints) {
        self.farewells.push(Box::pin(async move {
            let _ = timeout(FAREWELL, endpoints.wait_idle()).await;
        }));
    }
}
