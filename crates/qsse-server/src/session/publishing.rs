//! A publishing stream: events in, acknowledgements out (section 8 of the protocol).

use std::sync::Arc;

use qsse_log::{Appender, NewEvent};
use qsse_proto::frame::kind;
use qsse_proto::publish::{
    AckFrame, Acknowledged, OpenPublisher, Publish, PublishRefused, PublisherFrame,
};
use qsse_proto::{Code, DecodeError, EventId, Kind, limits};
use qsse_topic::{Topic, TopicRef};
use qsse_transport::{FrameError, FrameReader, FrameWriter, RecvStream, SendStream};

use crate::auth::Action;
use crate::publish::PublishError;
use crate::session::Session;

/// Publishes taken in one turn of the sequencer.
const TURN: usize = 256;

/// Serves one publishing stream until it ends.
pub(crate) async fn run(session: Arc<Session>, send: SendStream, recv: RecvStream) {
    let max = session.shared.config.log.max_event_bytes + limits::FRAME_OVERHEAD;
    let mut frames = FrameReader::new(recv, max);
    let mut publishing = Publishing {
        session: &session,
        acks: FrameWriter::new(send),
        ordered: false,
        taken: 0,
        refused: false,
    };
    if let Err(error) = publishing.serve(&mut frames).await {
        match error {
            Failed::Frame(FrameError::Decode(error)) => {
                session.connection.close(error.code(), &error.to_string());
            }
            Failed::Frame(_) | Failed::Gone => publishing.acks.reset(Code::UNKNOWN),
        }
    }
}

/// Why a publishing stream broke off.
enum Failed {
    Frame(FrameError),
    Gone,
}

struct Publishing<'s> {
    session: &'s Arc<Session>,
    acks: FrameWriter,
    ordered: bool,
    /// Publishes read so far: the number of the next one.
    taken: u64,
    /// An ordered stream has had a refusal: everything behind it is refused too.
    refused: bool,
}

/// A publish that may be appended.
struct Ready {
    number: u64,
    target: Target,
    publish: Publish,
}

enum Target {
    Topic(Topic),
    Topics(Vec<Topic>),
}

impl Publishing<'_> {
    async fn serve(&mut self, frames: &mut FrameReader) -> Result<(), Failed> {
        let Some(first) = self.next(frames).await? else {
            return Ok(());
        };
        let PublisherFrame::OpenPublisher(OpenPublisher { ordered }) = first else {
            return Err(misplaced(kind::PUBLISH));
        };
        self.ordered = ordered;
        let mut ready = Vec::new();
        while let Some(frame) = self.next(frames).await? {
            self.take(frame, &mut ready).await?;
            while ready.len() < TURN
                && let Some(frame) = frames.next_buffered().map_err(Failed::Frame)?
            {
                let frame = PublisherFrame::decode(frame);
                let frame = frame.map_err(|error| Failed::Frame(FrameError::Decode(error)))?;
                self.take(frame, &mut ready).await?;
            }
            self.append(&mut ready);
            self.acks.flush().await.map_err(|_| Failed::Gone)?;
        }
        self.acks.finish();
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
        match self.check(&publish).await {
            Ok(target) => ready.push(Ready {
                number,
                target,
                publish,
            }),
            Err((code, message)) => {
                self.append(ready);
                self.refuse(number, code, message);
            }
        }
        Ok(())
    }

    async fn check(&self, publish: &Publish) -> Result<Target, (Code, String)> {
        let shared = &self.session.shared;
        if self.refused {
            let message = "an earlier publish of this publisher was refused";
            return Err((Code::FAILED_BEFORE, message.into()));
        }
        if shared.draining.is_cancelled() {
            return Err((Code::SHUTTING_DOWN, PublishError::ShuttingDown.to_string()));
        }
        let told = |error: PublishError| (error.code(), error.to_string());
        let (len, max) = (publish.data().len(), shared.config.log.max_event_bytes);
        if len > max {
            let message = format!("an event of {len} bytes is over the limit of {max} bytes");
            return Err((Code::EVENT_TOO_LARGE, message));
        }
        if publish.is_matching() {
            let topics = shared.topics_matching(publish.topic()).map_err(told)?;
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
        if self.session.access.allows(Action::Publish, topic).await {
            return Ok(());
        }
        let message = format!("not allowed to publish on {}", topic.as_str());
        Err((Code::NOT_AUTHORISED, message))
    }

    /// Appends what is ready, in as few turns of the sequencer as it takes.
    fn append(&mut self, ready: &mut Vec<Ready>) {
        if ready.is_empty() {
            return;
        }
        let metrics = &self.session.shared.metrics;
        let shared = &self.session.shared;
        let mut acks: Vec<Acknowledged> = Vec::new();
        let mut singles = false;
        {
            let mut appender = shared.log.appender(shared.clock.now());
            for Ready {
                number,
                target,
                publish,
            } in ready.drain(..)
            {
                metrics.received_bytes.add(publish.data().len() as u64);
                let single = matches!(target, Target::Topic(_));
                let (first, last) = match target {
                    Target::Topic(topic) => {
                        let id = push(&mut appender, &topic, &publish);
                        (id.seq(), id.seq())
                    }
                    Target::Topics(topics) => {
                        let mut ids = topics
                            .iter()
                            .map(|topic| push(&mut appender, topic, &publish));
                        match ids.next() {
                            Some(first) => (first.seq(), ids.last().unwrap_or(first).seq()),
                            None => (1, 0),
                        }
                    }
                };
                metrics.published_network.add(last + 1 - first);
                // Singles in a row share one acknowledgement; a publish to a pattern has its own.
                match acks.last_mut() {
                    Some(ack) if singles && single => (ack.through, ack.last) = (number, last),
                    _ => acks.push(Acknowledged {
                        through: number,
                        first,
                        last,
                    }),
                }
                singles = single;
            }
        }
        for ack in acks {
            self.acks.queue(AckFrame::Acknowledged(ack).encode());
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

fn misplaced(kind: u8) -> Failed {
    Failed::Frame(FrameError::Decode(DecodeError::UnexpectedFrame { kind }))
}

fn push(appender: &mut Appender<'_>, topic: &Topic, publish: &Publish) -> EventId {
    let kind = Kind::new(publish.kind()).expect("a decoded publish has a valid kind");
    let event = NewEvent::new(topic.as_topic_ref(), publish.data()).kind(&kind);
    appender.push(event).expect("its length was checked")
}
