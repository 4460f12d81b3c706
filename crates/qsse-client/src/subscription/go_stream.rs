//! [`GoStream`]: a stream of the Go dialect.

use std::collections::BTreeSet;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use qsse_proto::go::{ERROR_TOPIC, EVENT_LINE_BYTES, ErrorData, EventLine, LineDecoder};
use qsse_proto::{Code, Event, EventId, Kind, Timestamp};
use qsse_topic::{Topic, TopicError};
use qsse_transport::RecvStream;

use super::read::{StreamEnd, poll_read};
use crate::error::SubscriptionError;
use crate::notice::{Loss, Notice};
use crate::slot::GO_EPOCH;
use crate::text::{plain, short};

/// The stream of one connection, with a line for each event and for each error.
pub(super) struct GoStream {
    /// The number of the connection among those of this subscription.
    pub(super) link: u32,
    pub(super) stream: RecvStream,
    decoder: LineDecoder,
    /// The number of the last event.
    seq: u64,
    /// The time of the last event.
    time: Timestamp,
    /// The topic of the last event, which the next one often has too.
    topic: Option<Topic>,
    /// The patterns that the server refused on this connection.
    refused: BTreeSet<String>,
}

/// The content of a line.
pub(super) enum GoItem {
    Event(Event),
    Notice(Notice),
    /// The server has refused every pattern.
    Refused(SubscriptionError),
}

impl GoStream {
    /// Reads a stream whose events are numbered after `seq`.
    pub(super) fn new(link: u32, stream: RecvStream, seq: u64) -> Self {
        Self {
            link,
            stream,
            decoder: LineDecoder::new(EVENT_LINE_BYTES),
            seq,
            time: Timestamp::from_micros(0),
            topic: None,
            refused: BTreeSet::new(),
        }
    }

    /// Waits for the next line. Nothing is lost between two polls.
    pub(super) fn poll_item(
        &mut self,
        cx: &mut Context<'_>,
        offered: &[String],
    ) -> Poll<Result<GoItem, StreamEnd>> {
        loop {
            match self.decoder.next() {
                Ok(Some(line)) if line.iter().all(u8::is_ascii_whitespace) => {}
                Ok(Some(line)) => {
                    let line = EventLine::parse(&line).map_err(StreamEnd::Line);
                    return Poll::Ready(line.map(|line| self.item(&line, offered)));
                }
                Ok(None) => {
                    let Self {
                        stream, decoder, ..
                    } = self;
                    ready!(poll_read(stream, cx, |chunk| decoder.push(chunk)))?;
                }
                Err(error) => return Poll::Ready(Err(StreamEnd::Line(error))),
            }
        }
    }

    fn item(&mut self, line: &EventLine, offered: &[String]) -> GoItem {
        if line.topic() == ERROR_TOPIC {
            return self.error(line.as_error().unwrap_or_default(), offered);
        }
        let data = line.data().clone();
        let topic = match self.topic(line.topic()) {
            Ok(topic) => topic,
            Err(problem) => {
                let topic = line.topic().to_owned();
                return GoItem::Notice(Notice::Unusable {
                    topic,
                    data,
                    problem,
                });
            }
        };
        self.seq += 1;
        self.time = self.time.max(SystemTime::now().into());
        let id = EventId::new(GO_EPOCH, self.seq);
        GoItem::Event(Event::new(id, topic, Kind::MESSAGE, self.time, data))
    }

    fn topic(&mut self, name: &str) -> Result<Topic, TopicError> {
        match &self.topic {
            Some(last) if last == name => Ok(last.clone()),
            _ => Ok(self.topic.insert(Topic::new(name)?).clone()),
        }
    }

    fn error(&mut self, error: ErrorData, offered: &[String]) -> GoItem {
        if error.is_lost() {
            return GoItem::Notice(Notice::Lost(Loss::Reported));
        }
        let code = error.code();
        let refusal = matches!(code, Code::NOT_AUTHORISED | Code::TOPIC_NOT_AVAILABLE);
        let is_offered = |topic: &&str| offered.iter().any(|offered| offered == topic);
        let pattern = error.topic().filter(|_| refusal).filter(is_offered);
        let Some(pattern) = pattern.map(str::to_owned) else {
            return GoItem::Notice(Notice::Reported {
                code,
                data: shown(&error),
            });
        };
        self.refused.insert(pattern.clone());
        if self.refused.len() < offered.len() {
            return GoItem::Notice(Notice::PatternRefused { pattern, code });
        }
        let message = match offered {
            [_] => pattern,
            _ => format!("{pattern}, the last of the patterns"),
        };
        GoItem::Refused(SubscriptionError::Refused { code, message })
    }
}

/// Returns the data of a server's error as text that is safe to print.
fn shown(error: &ErrorData) -> String {
    if error.data().is_empty() {
        return String::new();
    }
    let json = serde_json::to_string(error.data()).unwrap_or_default();
    let cut = short(&json);
    let dots = if cut.len() < json.len() { "…" } else { "" };
    plain(format!("{cut}{dots}"))
}
