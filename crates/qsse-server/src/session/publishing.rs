//! A publishing stream: events in, acknowledgements out (section 8 of the protocol).

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use qsse_log::PublishKey;
use qsse_proto::frame::kind;
use qsse_proto::publish::{
    AckFrame, AcknowledgedEpoch, KeyScope, OpenPublisher, PublishRefused, PublisherFrame,
};
use qsse_proto::{Code, Epoch, limits};
use qsse_transport::{Connection, FrameError, FrameReader, FrameWriter, RecvStream, SendStream};
use tokio::time::Instant;

use crate::audit::AuditEvent;
use crate::auth::Principal;
use crate::dedup_scope;
use crate::publish::PublishError;
use crate::session::Session;

pub(super) mod answers;
pub(super) mod append;
mod failed;
pub(super) mod permission;
mod unfinished;

use answers::Answer;
use append::{Ready, Series, Stop, Target, used};
use failed::{Failed, all_stored, malformed, misplaced};
use permission::{Refusal, target};
use unfinished::{Next, Unfinished};

/// Events after which one append to the log takes no further publish.
const APPEND_EVENTS: usize = 256;

/// The same after an append that was much work: to read and check its publishes was work too.
const COSTLY_EVENTS: usize = 32;

/// Answers after which a stream writes what it has queued, before it reads on.
const QUEUED_ANSWERS: usize = 256;

const FAILED_BEFORE: &str = "an earlier publish of this publisher was refused";

/// Serves one publishing stream until it ends.
pub(crate) async fn run(
    session: Arc<Session>,
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
) {
    let longest = session.shared.config.log.max_event_bytes + limits::FRAME_OVERHEAD;
    let mut frames = FrameReader::new(recv, longest);
    let mut publishing = Publishing {
        session: &session,
        connection: &connection,
        acks: FrameWriter::new(send),
        opened: false,
        unfinished: Unfinished::default(),
        ordered: false,
        publisher: KeyScope::default(),
        series: None,
        scope: None,
        taken: 0,
        epoch: session.shared.log.epoch(),
        refused: false,
        most: APPEND_EVENTS,
    };
    if let Err(error) = publishing.serve(&mut frames).await {
        match error {
            Failed::Frame(FrameError::Decode(error)) => {
                connection.close(error.code(), &error.to_string());
            }
            Failed::Frame(_) | Failed::Gone => publishing.acks.reset(Code::UNKNOWN),
            Failed::InDoubt => publishing.acks.reset(Code::STORE_UNAVAILABLE),
            Failed::Late => {
                session.shared.metrics.unfinished.timeouts.add(1);
                publishing.acks.reset(Code::FRAME_TIMEOUT);
                frames.stop(Code::FRAME_TIMEOUT);
            }
        }
    }
}

struct Publishing<'s> {
    session: &'s Arc<Session>,
    connection: &'s Connection,
    acks: FrameWriter,
    /// Whether the stream was opened.
    opened: bool,
    /// The frame that has begun to arrive.
    unfinished: Unfinished<'s>,
    ordered: bool,
    /// The scope of its keys, as the client stated it.
    publisher: KeyScope,
    /// Its numbers, if the stream is numbered.
    series: Option<Series>,
    /// The deduplication scope, and the principal for which it was computed: a newer token may
    /// belong to another one.
    scope: Option<(Arc<Principal>, [u8; 16])>,
    /// Publishes read so far, which is the number of the next one.
    taken: u64,
    /// The epoch of acknowledgements that was stated last.
    epoch: Epoch,
    /// Whether a publish of an ordered stream was refused: everything after it is refused too.
    refused: bool,
    /// Events after which the next append takes no further publish.
    most: usize,
}

impl<'s> Publishing<'s> {
    async fn serve(&mut self, frames: &mut FrameReader) -> Result<(), Failed> {
        let Some(first) = self.next(frames).await? else {
            return Ok(());
        };
        let PublisherFrame::OpenPublisher(OpenPublisher { ordered, scope }) = first else {
            return Err(misplaced(kind::PUBLISH));
        };
        self.open(ordered, scope)?;
        let mut ready = Vec::new();
        while let Some(frame) = self.next(frames).await? {
            self.take(frame, &mut ready).await?;
            while ready.iter().map(Ready::events).sum::<usize>() < self.most
                && self.acks.queued() < QUEUED_ANSWERS
                && let Some(frame) = frames.next_buffered().map_err(Failed::Frame)?
            {
                let frame = PublisherFrame::decode(frame);
                self.take(frame?, &mut ready).await?;
            }
            self.append(&mut ready).await?;
            self.acks.flush().await.map_err(|_| Failed::Gone)?;
        }
        self.acks.finish();
        Ok(())
    }

    fn open(&mut self, ordered: bool, scope: KeyScope) -> Result<(), Failed> {
        if let KeyScope::Numbered { first, tried, .. } = &scope {
            // QP-8.17
            if !ordered {
                return Err(malformed("a numbered stream that is not ordered"));
            }
            let tried = tried.map(|tried| {
                let when = self.session.tried(tried.ago_ms);
                (tried.through, tried.epoch, when)
            });
            let access = &self.session.access;
            let (principal, prefix) = (access.principal(), access.namespace().prefix());
            let key = dedup_scope::of_stream(principal.identity(), prefix, &scope);
            let first = *first;
            self.series = Some(Series { key, first, tried });
        }
        (self.ordered, self.publisher) = (ordered, scope);
        self.opened = true;
        Ok(())
    }

    async fn next(&mut self, frames: &mut FrameReader) -> Result<Option<PublisherFrame>, Failed> {
        loop {
            if let Some(frame) = frames.next_buffered().map_err(Failed::Frame)? {
                self.unfinished = Unfinished::default();
                let frame = PublisherFrame::decode(frame);
                return Ok(Some(frame?));
            }
            if !self.read_more(frames).await? {
                return Ok(None);
            }
        }
    }

    /// Waits until more of the stream has arrived; `false` at its end. Everything that is complete
    /// has been taken. Of what is not, the right to publish is asked for first.
    async fn read_more(&mut self, frames: &mut FrameReader) -> Result<bool, Failed> {
        let session: &'s Session = self.session;
        loop {
            match self.unfinished.next(session, frames, self.opened)? {
                Next::Read => return self.unfinished.read(frames).await,
                Next::Claim(bytes) => self.unfinished.claim(session, self.connection, bytes).await,
                Next::Ask(head) => {
                    let checked = self.check(head.is_matching(), head.topic(), 0).await;
                    match checked {
                        Ok(_) => self.unfinished.allow(),
                        Err(refusal) => self.skip(frames, refusal).await?,
                    }
                }
            }
        }
    }

    /// Refuses the publish that has begun to arrive, and drops its data as it comes.
    async fn skip(&mut self, frames: &mut FrameReader, refusal: Refusal) -> Result<(), Failed> {
        frames.skip_unfinished();
        let number = self.taken;
        self.taken += 1;
        self.refuse_for(number, refusal).await?;
        self.acks.flush().await.map_err(|_| Failed::Gone)
    }

    /// Checks one publish. A refusal is answered after the publishes before it.
    async fn take(&mut self, frame: PublisherFrame, ready: &mut Vec<Ready>) -> Result<(), Failed> {
        let PublisherFrame::Publish(publish) = frame else {
            // QP-8.1: a stream is opened once.
            return Err(misplaced(kind::OPEN_PUBLISHER));
        };
        let number = self.taken;
        self.taken += 1;
        if let Some(series) = &self.series {
            if publish.key().is_some() {
                return Err(malformed("a key on a numbered stream"));
            }
            if series.number(number).is_none() {
                return Err(malformed("a number does not fit"));
            }
        }
        let (name, bytes) = (publish.topic(), publish.data().len());
        match self.check(publish.is_matching(), name, bytes).await {
            Ok(target) => {
                let key = publish.key().map(|key| self.key(key.as_bytes()));
                let retry = publish.retry();
                let tried = retry.map(|retry| (retry.epoch, self.session.tried(retry.ago_ms)));
                ready.push(Ready {
                    number,
                    target,
                    publish,
                    key,
                    tried,
                });
            }
            Err(refusal) => {
                self.append(ready).await?;
                // A publish before it may just have been refused.
                let refusal = self.failed_before().err().unwrap_or(refusal);
                self.refuse_for(number, refusal).await?;
            }
        }
        Ok(())
    }

    /// Returns where a publish goes. Of one whose data has not arrived, `bytes` is 0.
    async fn check(&self, matching: bool, name: &str, bytes: usize) -> Result<Target, Refusal> {
        let shared = &self.session.shared;
        self.failed_before()?;
        let free = |error: PublishError| Refusal::free(error.code(), error.to_string());
        if shared.is_leaving() {
            return Err(free(PublishError::ShuttingDown));
        }
        let limit = shared.config.log.max_event_bytes;
        if bytes > limit {
            return Err(free(PublishError::TooLarge { bytes, limit }));
        }
        target(self.session, matching, name, bytes).await
    }

    /// QP-8.4: in an ordered stream everything after a refusal is refused.
    fn failed_before(&self) -> Result<(), Refusal> {
        if self.refused {
            return Err(Refusal::free(Code::FAILED_BEFORE, FAILED_BEFORE));
        }
        Ok(())
    }

    /// Returns the key within its scope. A copy: a shared slice would keep its whole buffer in
    /// memory.
    fn key(&mut self, key: &[u8]) -> PublishKey {
        let principal = self.session.access.principal();
        let scope = match &self.scope {
            Some((whose, scope)) if Arc::ptr_eq(whose, &principal) => *scope,
            _ => {
                let prefix = self.session.access.namespace().prefix();
                let scope = dedup_scope::of_stream(principal.identity(), prefix, &self.publisher);
                self.scope = Some((principal, scope));
                scope
            }
        };
        PublishKey::new(scope, Bytes::copy_from_slice(key))
    }

    /// Appends what is ready, and answers once it is stored.
    ///
    /// It waits for a store that is behind. The client's stream then fills up, which slows the
    /// publisher.
    async fn append(&mut self, ready: &mut Vec<Ready>) -> Result<(), Failed> {
        if ready.is_empty() {
            return Ok(());
        }
        let session = self.session;
        let (first, count) = (ready[0].number, ready.len() as u64);
        let paced = session.member.paces();
        let used = if paced { used(ready) } else { (0, 0) };
        // It may have waited since the topics were authorised.
        let check = || match session.access.is_expelled() {
            true => Err(Failed::Gone),
            false => Ok(session.access.owner()),
        };
        let how = (self.ordered, self.series.as_ref());
        let appends = append::append(&session.shared, ready, how, check).await;
        self.most = if appends.costly {
            COSTLY_EVENTS
        } else {
            APPEND_EVENTS
        };
        let rest = first + count - ready.len() as u64;
        match all_stored(appends.stored).await? {
            Ok(()) => self.answer(appends.answers),
            Err(reason) => self.refuse_all(first..rest, &reason),
        }
        ready.clear();
        match appends.stopped {
            None => {}
            Some(Stop::Client(gone)) => return Err(gone),
            Some(Stop::Log(error)) => self.refuse_all(rest..first + count, &error.to_string()),
        }
        let member = &self.session.member;
        if paced && let Some(next) = member.publish(used.0, used.1) {
            self.session.shared.metrics.paced.publishes.add(1);
            self.wait_until(next).await?;
        }
        Ok(())
    }

    /// Refuses publishes that were not stored.
    fn refuse_all(&mut self, numbers: Range<u64>, reason: &str) {
        for number in numbers {
            self.refuse(number, Code::STORE_UNAVAILABLE, reason.to_owned());
        }
    }

    fn answer(&mut self, answers: Vec<Answer>) {
        for answer in answers {
            match answer {
                Answer::Taken(ack, epoch) => {
                    // QP-8.16
                    if let Some(epoch) = epoch.filter(|epoch| *epoch != self.epoch) {
                        self.epoch = epoch;
                        let frame = AckFrame::from(AcknowledgedEpoch { epoch });
                        self.acks.queue(frame.encode());
                    }
                    self.acks.queue(AckFrame::Acknowledged(ack).encode());
                }
                Answer::Refused {
                    number,
                    code,
                    message,
                } => {
                    let other = match code {
                        Code::FAILED_BEFORE => FAILED_BEFORE,
                        _ => "the server no longer knows whether this publish was accepted before",
                    };
                    self.refuse(number, code, message.unwrap_or_else(|| other.into()));
                }
            }
        }
    }

    /// Refuses a publish. A client whose publishes are refused too often waits afterwards, with the
    /// answers that it has, until it has paid for the work with time.
    async fn refuse_for(&mut self, number: u64, refusal: Refusal) -> Result<(), Failed> {
        self.refuse(number, refusal.code, refusal.message);
        if refusal.cost == 0 {
            return Ok(());
        }
        let ready = self.session.refusals.lock().spend(refusal.cost.into());
        let Some(ready) = ready else {
            // Others come first: a refusal is more work than an event.
            tokio::task::yield_now().await;
            return Ok(());
        };
        self.session.shared.metrics.paced.refusals.add(1);
        self.wait_until(ready).await
    }

    /// Reads nothing more until this time. The client gets the answers that there are.
    async fn wait_until(&mut self, time: Instant) -> Result<(), Failed> {
        self.acks.flush().await.map_err(|_| Failed::Gone)?;
        // In a box, as few clients get there.
        Box::pin(tokio::time::sleep_until(time)).await;
        Ok(())
    }

    fn refuse(&mut self, number: u64, code: Code, message: String) {
        self.session.shared.metrics.refuse("publish", code);
        if code != Code::FAILED_BEFORE {
            let why = Err((code, message.as_str()));
            self.session.audit(AuditEvent::Publish, None, why);
        }
        self.refused |= self.ordered;
        let refused = PublishRefused {
            number,
            code,
            message,
        };
        self.acks.queue(AckFrame::PublishRefused(refused).encode());
    }
}
