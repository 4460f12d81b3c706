//! [`Links`]: a client of a server that speaks the Go library's dialect.
//!
//! That has one offer for each connection, so every subscription has a connection of its own, a [`Link`], which comes back on its own. All of
//! them run in the driver's task; events do not pass through it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use qsse_proto::Code;
use qsse_transport::{Connection, ServerUrl};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::FAREWELL;
use super::dial::Endpoints;
use super::ending::Ended;
use super::trust::Trust;
use crate::backoff::Backoff;
use crate::core::{Command, Core};
use crate::error::RefreshError;
use crate::state::{CloseReason, DisconnectReason};
use crate::subscription::slot::{End, Slot};

mod board;
mod link;

use board::Board;
use link::{Link, Over};

/// The connections of a client, one for each subscription.
pub(super) struct Links {
    core: Arc<Core>,
    /// How a further connection is made.
    url: ServerUrl,
    trust: Trust,
    endpoints: Endpoints,
    backoff: Backoff,
    board: Arc<Board>,
    /// The connection that showed which dialect the server speaks, until a subscription uses it.
    spare: Option<Connection>,
    /// By the subscription's key: where its link is told that a stream has ended. Without the sender the link ends.
    orders: BTreeMap<u64, mpsc::UnboundedSender<u32>>,
    running: FuturesUnordered<BoxFuture<'static, (u64, Over, Endpoints)>>,
    /// Waiting until servers know of connections that were closed.
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
        let board = Arc::new(Board::new(core));
        board.greet(&spare);
        Self {
            core: core.clone(),
            url: url.clone(),
            trust: trust.clone(),
            endpoints: endpoints.another(),
            backoff: backoff.fork(),
            board,
            spare: Some(spare),
            orders: BTreeMap::new(),
            running: FuturesUnordered::new(),
            farewells: FuturesUnordered::new(),
        }
    }

    /// Serves the subscriptions until the client is closed, none is left, or the server speaks another dialect.
    pub(super) async fn run(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> Ended {
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
                    return Ended::Closing;
                }
                Some(command) = commands.recv() => self.command(command),
                Some((key, over, endpoints)) = self.running.next() => {
                    self.leave(endpoints);
                    if let Some(ended) = self.over(key, over) {
                        if let Ended::Over(reason) = &ended {
                            core.end_subscriptions(reason.clone());
                        }
                        self.close().await;
                        return ended;
                    }
                }
                Some(()) = self.farewells.next() => {}
                reason = spare_closed => {
                    tracing::debug!(%reason, "the connection was closed before anything was subscribed to");
                    self.spare = None;
                }
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Subscribe(slot) => {
                if self.core.is_registered(slot.key) && !self.orders.contains_key(&slot.key) {
                    self.subscribe(slot);
                }
            }
            Command::Unsubscribe { key } => drop(self.orders.remove(&key)),
            Command::Resume { key, id } => {
                if let Some(orders) = self.orders.get(&key) {
                    // A link that has ended is taken care of elsewhere.
                    let _ = orders.send(id);
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
                tracing::debug!(filter = %slot.filter, what, "not to be had in the Go library's protocol");
                self.core.unregister(key);
                return;
            }
        };
        let (sender, orders) = mpsc::unbounded_channel();
        self.orders.insert(key, sender);
        let link = Link {
            core: self.core.clone(),
            slot,
            board: self.board.clone(),
            url: self.url.clone(),
            trust: self.trust.clone(),
            endpoints: self.endpoints.another(),
            backoff: self.backoff.fork(),
            number: 0,
            loss: lost.then_some(crate::notice::Loss::Dialect),
        };
        let spare = self.spare.take();
        self.running.push(Box::pin(link.run(orders, spare)));
    }

    /// A link has ended; says if nothing can go on.
    fn over(&mut self, key: u64, over: Over) -> Option<Ended> {
        self.orders.remove(&key);
        self.board.remove(key);
        match over {
            Over::Unsubscribed => None,
            Over::Final(reason) => {
                tracing::info!(server = %self.url, %reason, "a subscription has lost its connection for good");
                if let Some(slot) = self.core.slot(key) {
                    slot.end(End::of(&reason));
                }
                self.core.unregister(key);
                (self.core.slots().is_empty()).then_some(Ended::Over(reason))
            }
            Over::OtherDialect => {
                tracing::info!(server = %self.url, "the server speaks another dialect than before");
                for slot in self.core.slots() {
                    slot.leave_go();
                }
                self.core.set_speaks_go(false);
                Some(Ended::Lost {
                    reason: DisconnectReason::Dialect,
                    wait: None,
                    moved: None,
                })
            }
        }
    }

    /// Closes all connections, and waits until the servers know.
    async fn close(&mut self) {
        self.orders.clear();
        if let Some(spare) = self.spare.take() {
            spare.close(Code::NO_ERROR, "");
        }
        while let Some((_, _, endpoints)) = self.running.next().await {
            self.leave(endpoints);
        }
        let farewells = async { while self.farewells.next().await.is_some() {} };
        let _ = timeout(FAREWELL, farewells).await;
    }

    fn leave(&mut self, endpoints: Endpoints) {
        self.farewells.push(Box::pin(async move {
            let _ = timeout(FAREWELL, endpoints.wait_idle()).await;
        }));
    }
}
