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

mod append;

use append::{Answer, Appends, Ready, Series, Target};

/// Events after which one append to the log takes no further publish.
const APPEND_EVENTS: usize = 256;

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

/// Why a publishing stream ended early.
enum Failed {
    Frame(FrameError),
    Gone,
    /// The store has ended, and which events it has stored is unknown.
    InDoubt,
}

struct Publishing<'s> {
    session: &'s Arc<Session>,
    acks: FrameWriter,
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
            while ready.iter().map(Ready::events).sum::<usize>() < APPEND_EVENTS
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
                // A publish before it may just have been refused.
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

    /// QP-8.4: in an ordered stream everything after a refusal is refused.
    fn failed_before(&self) -> Result<(), (Code, String)> {
        if self.refused {
            return Err((Code::FAILED_BEFORE, FAILED_BEFORE.into()));
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
                let scope = dedup_scope::of_stream(principal.identity(), &self.publisher);
                self.scope = Some((principal, scope));
                scope
            }
        };
        PublishKey::new(scope, Bytes::copy_from_slice(key))
    }

    /// Appends what is ready, as one step, and answers once it is stored.
    ///
    /// It waits for a store that is behind. The client's stream then fills up, which slows the
    /// publisher.
    async fn append(&mut self, ready: &mut Vec<Ready>) -> Result<(), Failed> {
        if ready.is_empty() {
            return Ok(());
        }
        let shared = &self.session.shared;
        let (first, count) = (ready[0].number, ready.len() as u64);
        let appended = loop {
            match append::append(shared, ready, self.ordered, self.series.as_ref()) {
                Err(AppendError::Busy { .. }) => shared.log.room().await,
                appended => break appended,
            }
        };
        let outcome = match appended {
            Ok(Appends { answers, stored }) => all_stored(stored).await?.map(|()| answers),
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(answers) => self.answer(answers),
            // All or none: what is appended in one step is stored in one piece.
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

/// Waits until all of it is stored. Returns the reason if it is not.
///
/// # Errors
/// [`Failed::InDoubt`] if that is unknown.
async fn all_stored(receipts: Vec<Receipt>) -> Result<Result<(), String>, Failed> {
    for receipt in receipts {
        match receipt.stored().await {
            Ok(()) => {}
            // QP-8.6: what was written before a sync failed may be there when the store is opened
            // again.
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
