//! How a subscription's stream is written: as frames, or as the lines of the Go library's dialect.

use bytes::Bytes;
use qsse_log::{Encoding, Reader, Span};
use qsse_proto::EventId;
use qsse_proto::batch::Batch;
use qsse_proto::go::{ERROR_TOPIC, ErrorData, EventLine, write_event};
use qsse_proto::stream::{EpochChange, Gap, Heartbeat, StreamHeader};

use crate::session::Session;

/// The form of one stream.
pub(crate) enum StreamForm {
    /// Frames, for the subscription with this id.
    Frames {
        /// The number that the client gave it.
        id: u32,
        /// The seqs of the epoch that the stream has said last.
        span: Span,
    },
    /// JSON lines.
    GoLines,
}

/// What a Go client's stream begins with (QP-12.7): a stream shows with its first byte, which its constructor waits for, and before JSON a space is nothing.
pub(crate) const GO_OPENING: Bytes = Bytes::from_static(b" ");

/// Batches as JSON lines.
const GO_LINES: Encoding = Encoding::new("go", go_lines);

impl StreamForm {
    /// What a stream begins with.
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

    /// What has to be said before anything at this seq: its epoch, if that is another one than before (QP-7.9).
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

    /// A batch; it is counted as delivered.
    pub(crate) fn batch(&self, session: &Session, reader: &Reader, batch: &Batch) -> Bytes {
        let metrics = &session.shared.metrics;
        let (bytes, events) = match self {
            Self::Frames { .. } => (batch.bytes().clone(), batch.count()),
            Self::GoLines => {
                let unsent = errors(batch);
                if unsent > 0 {
                    session.shared.go_warnings.unsent(metrics, unsent);
                }
                (reader.encoded(batch, GO_LINES), batch.count() - unsent)
            }
        };
        metrics.delivered_events.add(u64::from(events));
        metrics.delivered_bytes.add(bytes.len() as u64);
        bytes
    }

    /// Events are missing.
    pub(crate) fn gap(&self, gap: &Gap) -> Bytes {
        match self {
            Self::Frames { .. } => gap.encode(),
            // QP-12.10: all that the dialect can say.
            Self::GoLines => EventLine::error(&ErrorData::lost()).to_line().into(),
        }
    }

    /// Everything up to `position` was written.
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

/// A line for each event, but for those that a client would take for errors of the server (QP-12.11).
fn go_lines(batch: &Batch) -> Bytes {
    let mut lines = Vec::with_capacity(batch.bytes().len() * 3 / 2);
    for event in batch.iter().filter(|event| event.topic() != ERROR_TOPIC) {
        write_event(&mut lines, event.topic(), event.data());
    }
    lines.into()
}

/// How many events of a batch are on the topic of errors.
fn errors(batch: &Batch) -> u32 {
    if !batch.topics().any(|topic| topic == ERROR_TOPIC) {
        return 0;
    }
    let on_error = |event: &qsse_proto::batch::EventRef<'_>| event.topic() == ERROR_TOPIC;
    batch.iter().filter(on_error).count() as u32
}
