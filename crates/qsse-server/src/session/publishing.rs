//! A publishing stream: events in, acknowledgements out (section 8 of the protocol).

use std::sync::Arc;

use bytes::Bytes;
use qsse_log::{AppendError, PublishKey, Receipt};
use qsse_proto::frame::kind;
use qsse_proto::publish::{
    AckFrame, AcknowledgedEpoch, KeyScope, OpenPublisher, Publish, PublishRefused, PublisherFrame,
};
use qsse_proto::{Code, DecodeError, Epoch, limits};
use qsse_topic::TopicRef;
use qsse_transport::{FrameError, FrameReader, FrameWriter, RecvStream, SendStream};

use crate::access::Answer as Allowed;
use crate::auth::{Action, Principal};
use crate::dedup_scope;
use crate::publish::PublishError;
use crate::session::Session;

mod turn;

use turn::{Answer, Ready, Series, Target, Turn};

/// Events after which a turn of the sequencer takes no further publish.
const TURN: usize = 256;

const FAILED_BEFORE: &str = "an earlier publish of this publisher was refused";

/// Serves one publishing stream until it ends.
pub(crate) async fn run(session: Arc<Session>, send: SendStream, recv: RecvStream) {
    let max = session.shared.config.log.max_event_bytes + limits::FRAME_OVERHEAD;
    let mut frames = FrameReader::new(recv, max);
    let mut publishing = Publishing {
        session: &session,
        acks: FrameWriter::new(send),
        ordered: false,
        publisher: KeyScope::default(),
        series: None,
        scope: None,
        taken: 0,
        epoch: session.shared.log.epoch(),
        refused: false,
    };
    if let Err(error) = publishing.serve(&mut frames).await {
        match error {
            Failed::Frame(FrameError::Decode(error)) => {
                session.connection.close(error.code(), &error.to_string());
            }
            Failed::Frame(_) | Failed::Gone => publishing.acks.reset(Code::UNKNOWN),
            Failed::InDoubt => publishing.acks.reset(Code::STORE_UNAVAILABLE),
        }
    }
}

/// Why a publishing stream broke off.
enum Failed {
    Frame(FrameError),
    Gone,
    /// The store has ended, and nobody knows what it has kept.
    InDoubt,
}

struct Publishing<'s> {
    session: &'s Arc<Session>,
    acks: FrameWriter,
    ordered: bool,
    /// As what it publishes.
    publisher: KeyScope,
    /// Its numbers, if it has numbers.
    series: Option<Series>,
    /// Within what its keys count, and for whom that was found: a new token may make it somebody else.
    scope: Option<(Arc<Principal>, [u8; 16])>,
    /// Publishes read so far: the number of the next one.
    taken: u64,
    /// Of which epoch the client takes acknowledgements for.
    epoch: Epoch,
    /// An ordered stream has had a refusal: everything behind it is refused too.
    refused: bool,
}

impl Publishing<'_> {
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
            while ready.iter().map(Ready::events).sum::<usize>() < TURN
                && let Some(frame) = frames.next_buffered().map_err(Failed::Frame)?
            {
                let frame = PublisherFrame::decode(frame);
                let frame = frame.map_err(|error| Failed::Frame(FrameError::Decode(error)))?;
                self.take(frame, &mut ready).await?;
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
            let key = dedup_scope::of_stream(self.session.access.principal().identity(), &scope);
            let first = *first;
            self.series = Some(Series { key, first, tried });
        }
        (self.ordered, self.publisher) = (ordered, scope);
        Ok(())
    }

    async fn next(&mut self, frames: &mut FrameReader) -> Result<Option<PublisherFrame>, Failed> {
        let Some(frame) = frames.next().await.map_err(Failed::Frame)? else {
            return Ok(None);
        };
        let frame = PublisherFrame::decode(frame);
        frame
            .map(Some)
            .map_err(|error| Failed::Frame(FrameError::Decode(error)))
    }

    /// Checks one publish. A refusal is answered behind those before it.
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
        match self.check(&publish).await {
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
            Err((code, message)) => {
                self.append(ready).await?;
                // One of those before it may just have been refused.
                let (code, message) = self.failed_before().err().unwrap_or((code, message));
                self.refuse(number, code, message);
            }
        }
        Ok(())
    }

    async fn check(&self, publish: &Publish) -> Result<Target, (Code, String)> {
        let shared = &self.session.shared;
        self.failed_before()?;
        if shared.is_leaving() {
            return Err((Code::SHUTTING_DOWN, PublishError::ShuttingDown.to_string()));
        }
        let told = |error: PublishError| (error.code(), error.to_string());
        let (bytes, limit) = (publish.data().len(), shared.config.log.max_event_bytes);
        if bytes > limit {
            return Err(told(PublishError::TooLarge { bytes, limit }));
        }
        if publish.is_matching() {
            let topics = shared
                .topics_matching(publish.topic(), bytes)
                .map_err(told)?;
            for topic in &topics {
                self.authorize(topic.as_topic_ref()).await?;
            }
            return Ok(Target::Topics(topics));
        }
        let topic = shared.topic(publish.topic()).map_err(told)?;
        self.authorize(topic).await?;
        Ok(Target::Topic(topic.to_topic()))
    }

    async fn authorize(&self, topic: TopicRef<'_>) -> Result<(), (Code, String)> {
        let name = topic.as_str();
        match self.session.access.allows(Action::Publish, topic).await {
            Allowed::Yes => Ok(()),
            Allowed::No => Err((
                Code::NOT_AUTHORISED,
                format!("not allowed to publish on {name}"),
            )),
            Allowed::Missing => Err((
                Code::BUSY,
                format!(
                    "the server cannot tell whether publishing on {name} is allowed: try again"
                ),
            )),
        }
    }

    /// QP-8.4: in an ordered stream a refusal refuses all behind it.
    fn failed_before(&self) -> Result<(), (Code, String)> {
        if self.refused {
            return Err((Code::FAILED_BEFORE, FAILED_BEFORE.into()));
        }
        Ok(())
    }

    /// The key among those of all publishers. A copy: a share would keep the bytes around it for as long as it is known.
    fn key(&mut self, key: &[u8]) -> PublishKey {
        let principal = self.session.access.principal();
        let scope = match &self.scope {
            Some((whose, scope)) if Arc::ptr_eq(whose, &principal) => *scope,
            _ => {
                let scope = dedup_scope::of_stream(principal.identity(), &self.publisher);
                self.scope = Some((principal, scope));
                scope
            }
        };
        PublishKey::new(scope, Bytes::copy_from_slice(key))
    }

    /// Appends what is ready, in one turn of the sequencer, and answers once it is kept.
    ///
    /// A store that is behind is waited for: the client's stream fills up, and so the publisher feels it.
    async fn append(&mut self, ready: &mut Vec<Ready>) -> Result<(), Failed> {
        if ready.is_empty() {
            return Ok(());
        }
        let shared = &self.session.shared;
        let (first, count) = (ready[0].number, ready.len() as u64);
        let turn = loop {
            match turn::append(shared, ready, self.ordered, self.series.as_ref()) {
                Err(AppendError::Busy { .. }) => shared.log.room().await,
                turn => break turn,
            }
        };
        let outcome = match turn {
            Ok(Turn { answers, kept }) => all_kept(kept).await?.map(|()| answers),
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(answers) => self.answer(answers),
            // All or none: a turn goes to the store in one piece.
            Err(reason) => {
                for number in first..first + count {
                    self.refuse(number, Code::STORE_UNAVAILABLE, reason.clone());
                }
                ready.clear();
            }
        }
        Ok(())
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
                Answer::Refused { number, code } => {
                    let message = match code {
                        Code::FAILED_BEFORE => FAILED_BEFORE,
                        _ => "the server no longer knows whether this publish was accepted before",
                    };
                    self.refuse(number, code, message.into());
                }
            }
        }
    }

    fn refuse(&mut self, number: u64, code: Code, message: String) {
        self.session.shared.metrics.refuse("publish", code);
        self.refused |= self.ordered;
        let refused = PublishRefused {
            number,
            code,
            message,
        };
        self.acks.queue(AckFrame::PublishRefused(refused).encode());
    }
}

/// Waits until all of it is kept; the reason, if it is not.
///
/// # Errors
/// [`Failed::InDoubt`] if nobody knows.
async fn all_kept(receipts: Vec<Receipt>) -> Result<Result<(), String>, Failed> {
    for receipt in receipts {
        match receipt.stored().await {
            Ok(()) => {}
            // QP-8.6: what was written before a sync failed may be there when the store is opened anew.
            Err(error) if error.is_final() => return Err(Failed::InDoubt),
            Err(error) => return Ok(Err(error.to_string())),
        }
    }
    Ok(Ok(()))
}

fn malformed(what: &'static str) -> Failed {
    let kind = kind::OPEN_PUBLISHER;
    Failed::Frame(FrameError::Decode(DecodeError::Malformed { kind, what }))
}

fn misplaced(kind: u8) -> Failed {
    Failed::Frame(FrameError::Decode(DecodeError::UnexpectedFrame { kind }))
}
