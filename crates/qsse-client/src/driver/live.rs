//! [`Live`]: an open connection and its subscriptions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use qsse_proto::Code;
use qsse_proto::control::{
    Goodbye, RefreshToken, Refused, ServerFrame, Subscribed, Unsubscribe, Welcome,
};
use qsse_transport::{Connection, ConnectionError, FrameError, RecvStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::asked::AskedFor;
use super::control::Control;
use super::ending::{Ended, control_ended, control_failed, other_server, refresh_error, violated};
use super::streams::{Arrival, arrive};
use crate::core::{Command, Core};
use crate::error::RefreshError;
use crate::session::Session;
use crate::state::DisconnectReason;
use crate::subscription::coming::{Incoming, Source};
use crate::subscription::slot::Slot;
use crate::text::plain;

/// Streams permitted beside one for each subscription: those that were given up and have not ended yet.
const SPARE_STREAMS: u32 = 16;

/// An open connection: the control stream, and which subscription has which id.
pub(super) struct Live {
    connection: Connection,
    pub(super) control: Control,
    /// From the welcome on.
    session: Option<Arc<Session>>,
    asked: AskedFor,
    /// Streams whose header has not come yet.
    arriving: FuturesUnordered<BoxFuture<'static, Arrival>>,
    due: FuturesUnordered<BoxFuture<'static, Due>>,
    refreshes: VecDeque<oneshot::Sender<Result<Option<Duration>, RefreshError>>>,
    /// Streams that the server may open.
    max_streams: u32,
    goodbye: Option<Goodbye>,
    /// From the goodbye on: done when all publishes are answered.
    drained: Option<BoxFuture<'static, ()>>,
}

/// Something put off until now.
enum Due {
    /// Ask again for a subscription whose stream ended or that was refused for now.
    Resume { key: u64 },
    /// See whether the stream of a confirmed subscription has come.
    Check { id: u32 },
}

enum Happened {
    Closing,
    Command(Command),
    Frame(Result<Option<ServerFrame>, FrameError>),
    Opened(Result<RecvStream, ConnectionError>),
    Arrived(Arrival),
    Due(Due),
    Drained,
}

impl Live {
    pub(super) fn new(
        connection: Connection,
        control: Control,
        asked: AskedFor,
        max_streams: u32,
    ) -> Self {
        Self {
            connection,
            control,
            session: None,
            asked,
            arriving: FuturesUnordered::new(),
            due: FuturesUnordered::new(),
            refreshes: VecDeque::new(),
            max_streams,
            goodbye: None,
            drained: None,
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The server has let the client in.
    pub(super) fn welcome(&mut self, welcome: Welcome) -> Arc<Session> {
        let session = Session::new(self.connection.clone(), &welcome);
        self.session.insert(Arc::new(session)).clone()
    }

    /// Asks for a subscription, from where it stands.
    pub(super) fn subscribe(&mut self, slot: Arc<Slot>, last_id: &mut u32) {
        *last_id = last_id.wrapping_add(1);
        let id = *last_id;
        // Before the position is looked at, which a reset moves.
        let resets = slot.resets();
        self.control.send(slot.request(id));
        self.asked.add(id, slot, resets);
        let streams = (self.asked.len() as u32).saturating_add(SPARE_STREAMS);
        if streams > self.max_streams {
            self.max_streams = streams.next_power_of_two();
            self.connection.set_max_remote_uni_streams(self.max_streams);
        }
    }

    /// Serves the connection until it ends.
    pub(super) async fn run(
        &mut self,
        core: &Arc<Core>,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        last_id: &mut u32,
    ) -> Ended {
        let ended = loop {
            if self.is_read_to_its_end() {
                break None;
            }
            let step = match self.happened(core, commands).await {
                Happened::Closing => {
                    self.connection.close(Code::NO_ERROR, "");
                    break Some(Ended::Closing);
                }
                Happened::Command(command) => self.command(command, core, last_id),
                Happened::Frame(Ok(Some(frame))) => self.frame(frame, core),
                Happened::Frame(Ok(None)) => Err(control_ended(&self.connection).await),
                Happened::Frame(Err(error)) => Err(control_failed(&self.connection, error).await),
                Happened::Opened(Ok(stream)) => {
                    self.opened(stream, core);
                    Ok(())
                }
                Happened::Opened(Err(error)) => Err(DisconnectReason::Lost(error)),
                Happened::Arrived(arrival) => self.arrived(arrival),
                Happened::Due(due) => {
                    self.fall_due(due, core, last_id);
                    Ok(())
                }
                Happened::Drained => {
                    self.drained = None;
                    Ok(())
                }
            };
            if let Err(reason) = step {
                break Some(Ended::Lost {
                    reason,
                    wait: None,
                    moved: None,
                });
            }
        };
        self.after(ended, core)
    }

    async fn happened(
        &mut self,
        core: &Core,
        commands: &mut mpsc::UnboundedReceiver<Command>,
    ) -> Happened {
        let Self {
            connection,
            control,
            arriving,
            due,
            drained,
            ..
        } = self;
        let drained = async {
            match drained {
                Some(drained) => drained.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = core.closing.cancelled() => Happened::Closing,
            Some(command) = commands.recv() => Happened::Command(command),
            frame = control.exchange() => Happened::Frame(frame),
            Some(arrival) = arriving.next() => Happened::Arrived(arrival),
            stream = connection.accept_uni() => Happened::Opened(stream),
            Some(due) = due.next() => Happened::Due(due),
            () = drained => Happened::Drained,
        }
    }

    fn command(
        &mut self,
        command: Command,
        core: &Core,
        last_id: &mut u32,
    ) -> Result<(), DisconnectReason> {
        match command {
            // The new connection's first breath may have asked for it already.
            Command::Subscribe(slot) if self.asked.has(slot.key) => {}
            // It is in the table: the next connection asks for it.
            Command::Subscribe(_) if self.goodbye.is_some() => {}
            Command::Subscribe(slot) if core.is_registered(slot.key) => {
                self.subscribe(slot, last_id)
            }
            Command::Subscribe(_) => {}
            Command::Unsubscribe { key } => {
                if let Some(id) = self.asked.remove(key) {
                    self.control.send(Unsubscribe { id });
                }
            }
            Command::Resume { key, id } if self.asked.is_current(key, id) => self.put_off(id),
            Command::Resume { .. } => {}
            Command::Refresh { token, done } => {
                self.control.send(RefreshToken { token });
                self.refreshes.push_back(done);
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: ServerFrame, core: &Core) -> Result<(), DisconnectReason> {
        match frame {
            ServerFrame::Subscribed(Subscribed { id, position }) => {
                if let Some(slot) = self.asked.confirm(id) {
                    slot.confirm(position);
                }
                if self.asked.is_waiting(id) {
                    self.put(core.config.stream_timeout, Due::Check { id });
                }
            }
            ServerFrame::Refused(refused) => self.refused(refused),
            ServerFrame::Goodbye(goodbye) => self.goodbye(goodbye, core),
            ServerFrame::TokenAccepted(accepted) => {
                if let Some(done) = self.refreshes.pop_front() {
                    let _ = done.send(Ok(accepted.expires_in_ms.map(Duration::from_millis)));
                }
            }
            ServerFrame::Welcome(_) => return Err(violated(&self.connection, "a second welcome")),
            _ => {}
        }
        Ok(())
    }

    fn refused(&mut self, refused: Refused) {
        let Refused { id, code, .. } = refused;
        let Some(slot) = self.asked.slot(id).cloned() else {
            return;
        };
        tracing::debug!(filter = %slot.filter, %code, reason = ?refused.message, "subscription refused");
        // A server that goes away makes room for one that may not refuse.
        if code == Code::SHUTTING_DOWN || !slot.refuse(refused) {
            self.put_off(id);
        } else {
            self.asked.remove(slot.key);
        }
    }

    fn goodbye(&mut self, goodbye: Goodbye, core: &Core) {
        tracing::info!(code = %goodbye.code, reason = ?goodbye.message, "the server said goodbye");
        core.set_session(None);
        if let Some(session) = self.session.clone() {
            session.set_over();
            self.drained = Some(Box::pin(async move {
                session.drained().await;
                session.finish_publishing();
            }));
        }
        self.asked.keep_confirmed();
        self.goodbye = Some(goodbye);
    }

    fn opened(&mut self, stream: RecvStream, core: &Core) {
        let max_event_bytes = self
            .session
            .as_ref()
            .map_or(0, |session| session.max_event_bytes);
        let deadline = core.config.stream_timeout;
        self.arriving
            .push(Box::pin(arrive(stream, max_event_bytes, deadline)));
    }

    fn arrived(&mut self, arrival: Arrival) -> Result<(), DisconnectReason> {
        match arrival {
            Arrival::Stream(incoming) => self.begun(incoming),
            // The subscription is asked for again when its check falls due.
            Arrival::Ended => {}
            Arrival::Late => tracing::warn!("a stream's header did not come in time"),
            Arrival::Broken(error) => {
                self.connection
                    .close(error.code(), "a stream without a header");
                return Err(DisconnectReason::Protocol(error));
            }
        }
        Ok(())
    }

    fn begun(&mut self, mut incoming: Box<Incoming>) {
        let header = incoming.header;
        match self.asked.begin(header.id) {
            Some((slot, resets)) => {
                incoming.resets = resets;
                if let Some(session) = &self.session {
                    incoming.server = session.epoch;
                }
                slot.begun(&header);
                slot.offer(Source::Frames(incoming));
            }
            // Unsubscribed in the meantime, or a second one.
            None => incoming.stream.stop(Code::UNSUBSCRIBED),
        }
    }

    fn fall_due(&mut self, due: Due, core: &Core, last_id: &mut u32) {
        match due {
            Due::Resume { key } => {
                let slot = core.slot(key);
                if let Some(slot) = slot.filter(|_| self.goodbye.is_none() && !self.asked.has(key))
                {
                    self.subscribe(slot, last_id);
                }
            }
            Due::Check { id } if self.asked.is_waiting(id) => {
                tracing::warn!(id, "no stream came for a subscription, asking again");
                self.control.send(Unsubscribe { id });
                self.put_off(id);
            }
            Due::Check { .. } => {}
        }
    }

    /// Asks again for a subscription after a while.
    fn put_off(&mut self, id: u32) {
        if let Some((key, delay)) = self.asked.put_off(id) {
            self.put(delay, Due::Resume { key });
        }
    }

    fn put(&mut self, delay: Duration, due: Due) {
        self.due.push(Box::pin(async move {
            sleep(delay).await;
            due
        }));
    }

    /// Whether the server said goodbye and nothing of it is still to be read.
    fn is_read_to_its_end(&self) -> bool {
        self.goodbye.is_some() && self.asked.is_empty() && self.drained.is_none()
    }

    /// Tells those who use the connection that it is over.
    fn after(&mut self, ended: Option<Ended>, core: &Core) -> Ended {
        let mut ended = ended.unwrap_or_else(|| {
            // Whatever is left of it, the server is waiting for this.
            self.connection.close(Code::NO_ERROR, "");
            let reason = DisconnectReason::Lost(ConnectionError::LocallyClosed);
            Ended::Lost {
                reason,
                wait: None,
                moved: None,
            }
        });
        if let (
            Some(goodbye),
            Ended::Lost {
                reason,
                wait,
                moved,
            },
        ) = (self.goodbye.take(), &mut ended)
        {
            *wait = goodbye
                .retry_after_ms
                .map(|ms| Duration::from_millis(ms.into()));
            *moved = goodbye.address.as_deref().and_then(other_server);
            *reason = DisconnectReason::Goodbye {
                code: goodbye.code,
                message: plain(goodbye.message),
            };
        }
        let reason = match &ended {
            Ended::Lost { reason, .. } => reason.clone(),
            _ => DisconnectReason::Lost(ConnectionError::LocallyClosed),
        };
        core.set_session(None);
        if let Some(session) = &self.session {
            session.set_lost(reason.clone());
        }
        for done in self.refreshes.drain(..) {
            let _ = done.send(Err(refresh_error(&reason)));
        }
        ended
    }
}
