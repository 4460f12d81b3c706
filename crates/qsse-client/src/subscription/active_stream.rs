//! [`ActiveStream`]: the stream that a subscription is reading.

use qsse_proto::Code;

use super::go_stream::GoStream;
use super::qsse_stream::QsseStream;

/// The stream that a subscription is reading, in the dialect of its connection.
#[expect(
    clippy::large_enum_variant,
    reason = "the usual variant is the large one, and is read without indirection"
)]
pub(super) enum ActiveStream {
    Qsse(QsseStream),
    Go(GoStream),
}

impl ActiveStream {
    /// Returns the number by which the driver knows the stream.
    pub(super) fn id(&self) -> u32 {
        match self {
            Self::Qsse(stream) => stream.id,
            Self::Go(stream) => stream.link,
        }
    }

    /// Tells the server to stop sending.
    pub(super) fn stop(self, code: Code) {
        let mut stream = match self {
            Self::Qsse(stream) => stream.stream,
            Self::Go(stream) => stream.stream,
        };
        stream.stop(code);
    }
}
