//! How a subscription's stream is written: as frames, or as the lines of the Go library's dialect.

use bytes::Bytes;
use qsse_log::{Encoding, Reader, Span};
use qsse_proto::batch::Batch;
use qsse_proto::go::{ERROR_TOPIC, ErrorData, EventLine, write_event};
use qsse_proto::stream::{EpochChange, Gap, Heartbeat, StreamHeader};
use qsse_proto::{Epoch, EventId};

use crate::session::Session;

/// The form of one stream.
pub(crate) enum StreamForm {
    /// Frames.
    Frames {
        /// The id that the client gave the subscription.
        id: u32,
        /// The seqs of the epoch that the stream has stated last.
        span: Span,
    },
    /// JSON lines.
    GoLines,
}

/// The beginning of a Go client's stream (QP-12.7). The client's constructor waits for a first
/// byte, and a space before JSON means nothing.
pub(crate) const GO_OPENING: Bytes = Bytes::from_static(b" ");

/// Batches as they are.
const FRAMES: Encoding = Encoding::new("frames", |batch, _| batch.bytes().clone());

/// Batches as JSON lines.
const GO_LINES: Encoding = Encoding::new("go", go_lines);

impl StreamForm {
    /// Returns the beginning of the stream.
    pub(crate) fn opening(&self, reader: &Reader) -> Bytes {
        match *self {
            Self::Frames { id, .. } => {
                let header = StreamHeader {
                    id,
                    epoch: reader.started().epoch(),
                    position: reader.started().seq(),
                    outcome: reader.outcome(),
                };
                header.encode()
            }
            Self::GoLines => GO_OPENING,
        }
    }

    /// Returns what has to be written before an item of this seq: its epoch, if it changed
    /// (QP-7.9).
    #[inline]
    pub(crate) fn label(&mut self, session: &Session, seq: u64) -> Option<Bytes> {
        match self {
            Self::Frames { span, .. } if !span.holds(seq) => {
                *span = session.shared.log.lineage().span_of(seq);
                let epoch = span.epoch;
                Some(EpochChange { epoch }.encode())
            }
            _ => None,
        }
    }

    /// Returns a batch in this form, and counts it as delivered.
    pub(crate) fn batch(&self, session: &Session, reader: &Reader, batch: &Batch) -> Bytes {
        let metrics = &session.shared.metrics;
        let namespace = session.access.namespace();
        let (bytes, events) = match self {
            Self::Frames { .. } if namespace.prefix().is_none() => {
                (batch.bytes().clone(), batch.count())
            }
            Self::Frames { .. } => {
                let frames = FRAMES.without_prefix(namespace.bytes());
                (reader.encoded(batch, frames), batch.count())
            }
            Self::GoLines => {
                let unsent = errors(batch, &namespace.full(ERROR_TOPIC));
                if unsent > 0 {
                    session.shared.go_warnings.unsent(metrics, unsent);
                }
                let lines = GO_LINES.without_prefix(namespace.bytes());
                (reader.encoded(batch, lines), batch.count() - unsent)
            }
        };
        metrics.delivered_events.add(u64::from(events));
        metrics.delivered_bytes.add(bytes.len() as u64);
        bytes
    }

    /// Returns the report of missing events.
    pub(crate) fn gap(&self, gap: &Gap) -> Bytes {
        match self {
            Self::Frames { .. } => gap.encode(),
            // QP-12.10: the dialect cannot say more.
            Self::GoLines => EventLine::error(&ErrorData::lost()).to_line().into(),
        }
    }

    /// Returns the report that everything up to `position` was written.
    pub(crate) fn heartbeat(&self, position: EventId) -> Option<Bytes> {
        match self {
            Self::Frames { .. } => {
                let position = position.seq();
                Some(Heartbeat { position }.encode())
            }
            Self::GoLines => None,
        }
    }
}

/// Writes a line for each event, without those that a client would take for errors of the server
/// (QP-12.11).
fn go_lines(batch: &Batch, _: Epoch) -> Bytes {
    let mut lines = Vec::with_capacity(batch.bytes().len() * 3 / 2);
    for event in batch.iter().filter(|event| event.topic() != ERROR_TOPIC) {
        write_event(&mut lines, event.topic(), event.data());
    }
    lines.into()
}

/// Returns how many events of a batch are on the topic of errors.
fn errors(batch: &Batch, error_topic: &str) -> u32 {
    if !batch.topics().any(|topic| topic == error_topic) {
        return 0;
    }
    let on_error = |event: &qsse_proto::batch::EventRef<'_>| event.topic() == error_topic;
    batch.iter().filter(on_error).count() as u32
}
