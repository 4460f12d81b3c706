//! [`OpenConnection`]: an open connection and its subscriptions.

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

use super::control::Control;
use super::disconnect::{Disconnect, control_ended, control_failed, refresh_error, violated};
use super::requests::Requests;
use super::streams::{Arrival, arrive};
use crate::core::{Command, Core};
use crate::error::{DisconnectReason, RefreshError};
use crate::session::Session;
use crate::slot::{NewQsseStream, NewStream, Slot};

/// Streams permitted beside one for each subscription, for those that were stopped and have not
/// ended yet.
const SPARE_STREAMS: u32 = 16;

/// An open connection: its control stream, and which subscription has which id.
pub(super) struct OpenConnection {
    connection: Connection,
    pub(super) control: Control,
    /// Set by the welcome.
    session: Option<Arc<Session>>,
    requests: Requests,
    /// Streams whose header has not arrived yet.
    arriving: FuturesUnordered<BoxFuture<'static, Arrival>>,
    timers: FuturesUnordered<BoxFuture<'static, Timer>>,
    refreshes: VecDeque<oneshot::Sender<Result<Option<Duration>, RefreshError>>>,
    /// How many streams the server may open.
    max_streams: u32,
    goodbye: Option<Goodbye>,
    /// Set by the goodbye; done when all publishes are answered.
    drained: Option<BoxFuture<'static, ()>>,
}

/// What to do when a timer fires.
enum Timer {
    /// Request a subscription again whose stream ended, or that was refused temporarily.
    Resume { key: u64 },
    /// Check whether the stream of a confirmed subscription has arrived.
    Check { id: u32 },
}

/// What the connection reacts to.
enum DriverEvent {
    Closing,
    Command(Command),
    Frame(Result<Option<ServerFrame>, FrameError>),
    Opened(Result<RecvStream, ConnectionError>),
    Arrived(Arrival),
    Timer(Timer),
    Drained,
}

impl OpenConnection {
    pub(super) fn new(
        connection: Connection,
        control: Control,
        requests: Requests,
        max_streams: u32,
    ) -> Self {
        Self {
            connection,
            control,
            session: None,
            requests,
            arriving: FuturesUnordered::new(),
            timers: FuturesUnordered::new(),
            refreshes: VecDeque::new(),
            max_streams,
            goodbye: None,
            drained: None,
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Records that the server has accepted the client.
    pub(super) fn welcome(&mut self, welcome: Welcome) -> Arc<Session> {
        let session = Session::new(self.connection.clone(), &welcome);
        self.session.insert(Arc::new(session)).clone()
    }

    /// Requests a subscription, from its current position.
    pub(super) fn subscribe(&mut self, slot: Arc<Slot>, last_id: &mut u32) {
        *last_id = last_id.wrapping_add(1);
        let id = *last_id;
        // Read before the position, which a reset moves.
        let resets = slot.resets();
        self.control.send(slot.request(id));
        self.requests.add(id, slot, resets);
        let streams = (self.requests.len() as u32).saturating_add(SPARE_STREAMS);
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
    ) -> Disconnect {
        let ended = loop {
            if self.is_drained() {
                break None;
            }
            let step = match self.next_event(core, commands).await {
                DriverEvent::Closing => {
                    self.connection.close(Code::NO_ERROR, "");
                    break Some(Disconnect::Closing);
                }
                DriverEvent::Command(command) => self.command(command, core, last_id),
                DriverEvent::Frame(Ok(Some(frame))) => self.frame(frame, core),
                DriverEvent::Frame(Ok(None)) => Err(control_ended(&self.connection).await),
                DriverEvent::Frame(Err(error)) => {
                    Err(control_failed(&self.connection, error).await)
                }
                DriverEvent::Opened(Ok(stream)) => {
                    self.opened(stream, core);
                    Ok(())
                }
                DriverEvent::Opened(Err(error)) => Err(DisconnectReason::Lost(error)),
                DriverEvent::Arrived(arrival) => self.arrived(arrival),
                DriverEvent::Timer(timer) => {
                    self.timer_fired(timer, core, last_id);
                    Ok(())
                }
                DriverEvent::Drained => {
                    self.drained = None;
                    Ok(())
                }
            };
            if let Err(reason) = step {
                break Some(Disconnect::lost(reason));
            }
        };
        self.finish(ended, core)
    }

    /// Waits for the next thing to react to.
    async fn next_event(
        &mut self,
        core: &Core,
        commands: &mut mpsc::UnboundedReceiver<Command>,
    ) -> DriverEvent {
        let Self {
            connection,
            control,
            arriving,
            timers,
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
            () = core.closing.cancelled() => DriverEvent::Closing,
            Some(command) = commands.recv() => DriverEvent::Command(command),
            frame = control.exchange() => DriverEvent::Frame(frame),
            Some(arrival) = arriving.next() => DriverEvent::Arrived(arrival),
            stream = connection.accept_uni() => DriverEvent::Opened(stream),
            Some(timer) = timers.next() => DriverEvent::Timer(timer),
            () = drained => DriverEvent::Drained,
        }
    }

    fn command(
        &mut self,
        command: Command,
        core: &Core,
        last_id: &mut u32,
    ) -> Result<(), DisconnectReason> {
        match command {
            // It may have been requested together with the hello.
            Command::Subscribe(slot) if self.requests.has(slot.key) => {}
            // The next connection requests it, since it is in the table.
            Command::Subscribe(_) if self.goodbye.is_some() => {}
            Command::Subscribe(slot) if core.is_registered(slot.key) => {
                self.subscribe(slot, last_id)
            }
            Command::Subscribe(_) => {}
            Command::Unsubscribe { key } => {
                if let Some(id) = self.requests.remove(key) {
                    self.control.send(Unsubscribe { id });
                }
            }
            Command::Resume { key, id } if self.requests.is_current(key, id) => self.postpone(id),
            Command::Resume { .. } => {}
            Command::Refresh { token, done } => {
                self.control.send(RefreshToken { token });
                self.refreshes.push_back(done);
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: ServerFrame, core: &Arc<Core>) -> Result<(), DisconnectReason> {
        match frame {
            ServerFrame::Subscribed(Subscribed { id, position }) => {
                if let Some(slot) = self.requests.confirm(id) {
                    slot.confirm(position);
                }
                if self.requests.is_waiting(id) {
                    self.set_timer(core.config.stream_timeout, Timer::Check { id });
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
        let Some(slot) = self.requests.slot(id).cloned() else {
            return;
        };
        let (filter, reason) = (&slot.filter, &refused.message);
        tracing::debug!(%filter, %code, ?reason, "subscription refused");
        // If this server leaves, the next one may accept the subscription.
        if code == Code::SHUTTING_DOWN || !slot.refuse(refused) {
            self.postpone(id);
        } else {
            self.requests.remove(slot.key);
        }
    }

    fn goodbye(&mut self, goodbye: Goodbye, core: &Arc<Core>) {
        let Goodbye { code, message, .. } = &goodbye;
        tracing::info!(%code, reason = ?message, "the server said goodbye");
        core.set_session(None);
        if let Some(session) = self.session.clone() {
            session.set_over();
            let core = core.clone();
            self.drained = Some(Box::pin(async move {
                core.publish_streams.drained(&session).await;
                core.publish_streams.finish(&session);
            }));
        }
        self.requests.retain_confirmed();
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
            Arrival::Stream(stream) => self.stream_arrived(stream),
            // The subscription is requested again when its check finds no stream.
            Arrival::Ended => {}
            Arrival::Late => tracing::warn!("the header of a stream did not arrive in time"),
            Arrival::Broken(error) => {
                self.connection
                    .close(error.code(), "a stream without a header");
                return Err(DisconnectReason::Protocol(error));
            }
        }
        Ok(())
    }

    /// Passes a stream to its subscription.
    fn stream_arrived(&mut self, mut new: Box<NewQsseStream>) {
        let header = new.header;
        match self.requests.begin(header.id) {
            Some((slot, resets)) => {
                new.resets = resets;
                if let Some(session) = &self.session {
                    new.server_epoch = session.epoch;
                }
                slot.stream_opened(&header);
                slot.push_stream(NewStream::Qsse(new));
            }
            // The client has unsubscribed, or this is a second stream.
            None => new.stream.stop(Code::UNSUBSCRIBED),
        }
    }

    fn timer_fired(&mut self, timer: Timer, core: &Core, last_id: &mut u32) {
        match timer {
            Timer::Resume { key } => {
                let slot = core.slot(key);
                if let Some(slot) =
                    slot.filter(|_| self.goodbye.is_none() && !self.requests.has(key))
                {
                    self.subscribe(slot, last_id);
                }
            }
            Timer::Check { id } if self.requests.is_waiting(id) => {
                tracing::warn!(id, "a subscription got no stream, requesting it again");
                self.control.send(Unsubscribe { id });
                self.postpone(id);
            }
            Timer::Check { .. } => {}
        }
    }

    /// Requests a subscription again after a delay.
    fn postpone(&mut self, id: u32) {
        if let Some((key, delay)) = self.requests.postpone(id) {
            self.set_timer(delay, Timer::Resume { key });
        }
    }

    fn set_timer(&mut self, delay: Duration, timer: Timer) {
        self.timers.push(Box::pin(async move {
            sleep(delay).await;
            timer
        }));
    }

    /// Returns whether the server said goodbye, and everything from it has been read.
    fn is_drained(&self) -> bool {
        self.goodbye.is_some() && self.requests.is_empty() && self.drained.is_none()
    }

    /// Ends what depends on the connection, and returns why it has ended. `ended` is `None` if it
    /// was drained.
    fn finish(&mut self, ended: Option<Disconnect>, core: &Core) -> Disconnect {
        let mut ended = ended.unwrap_or_else(|| {
            // The server waits for this.
            self.connection.close(Code::NO_ERROR, "");
            Disconnect::lost(DisconnectReason::Lost(ConnectionError::LocallyClosed))
        });
        if let Disconnect::Lost { .. } = &ended
            && let Some(goodbye) = self.goodbye.take()
        {
            ended = Disconnect::after(goodbye);
        }
        let reason = match &ended {
            Disconnect::Lost { reason, .. } => reason.clone(),
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
