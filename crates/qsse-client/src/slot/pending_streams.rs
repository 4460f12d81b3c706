//! [`PendingStreams`]: the streams that a subscription has not begun to read, and the notices
//! between them.

use std::collections::VecDeque;

use qsse_proto::Epoch;
use qsse_proto::stream::{Decoder, StreamHeader};
use qsse_transport::RecvStream;

use crate::notice::Notice;

/// How many unread streams of lost Go connections are kept. Each may hold a stream window of data.
const MAX_GO_STREAMS: usize = 4;

/// A stream that is ready to be read, in the dialect of its connection.
pub(crate) enum NewStream {
    Qsse(Box<NewQsseStream>),
    /// A stream of lines in the Go dialect.
    Go {
        /// The number of the connection among those of this subscription.
        link: u32,
        stream: RecvStream,
    },
}

/// A stream of `qsse/1` whose header has been read.
pub(crate) struct NewQsseStream {
    pub(crate) stream: RecvStream,
    pub(crate) decoder: Decoder,
    pub(crate) header: StreamHeader,
    /// How many resets the subscription had seen when it requested this stream.
    pub(crate) resets: u64,
    /// The current epoch of the server.
    pub(crate) server_epoch: Epoch,
}

/// An entry of [`PendingStreams`].
pub(super) enum Pending {
    Stream(NewStream),
    Notice(Notice),
}

/// The streams that a subscription has not begun to read, and the notices between them, in order.
#[derive(Default)]
pub(super) struct PendingStreams(VecDeque<Pending>);

impl PendingStreams {
    /// Adds a stream. Returns the stream that it replaces, which must be dropped without a lock.
    #[must_use = "dropping it takes the connection's lock"]
    pub(super) fn push_stream(&mut self, stream: NewStream) -> Option<Pending> {
        let replaced = match &stream {
            // The newer stream resumes from the same position.
            NewStream::Qsse(_) => self.0.iter().position(Pending::is_qsse),
            // Its events are lost, as the notice behind it reports.
            NewStream::Go { .. } => {
                let count = self.0.iter().filter(|pending| pending.is_go()).count();
                let oldest = self.0.iter().position(Pending::is_go);
                oldest.filter(|_| count >= MAX_GO_STREAMS)
            }
        };
        let replaced = replaced.and_then(|index| self.0.remove(index));
        self.0.push_back(Pending::Stream(stream));
        replaced
    }

    /// Adds a notice behind everything else. Of several in a row only the last one stays.
    pub(super) fn push_notice(&mut self, notice: Notice) {
        if let Some(Pending::Notice(last)) = self.0.back_mut() {
            *last = notice;
        } else {
            self.0.push_back(Pending::Notice(notice));
        }
    }

    pub(super) fn pop(&mut self) -> Option<Pending> {
        self.0.pop_front()
    }
}

impl Pending {
    fn is_qsse(&self) -> bool {
        matches!(self, Self::Stream(NewStream::Qsse(_)))
    }

    fn is_go(&self) -> bool {
        matches!(self, Self::Stream(NewStream::Go { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::Loss;

    #[test]
    fn of_two_notices_in_a_row_the_last_stays() {
        let mut pending = PendingStreams::default();
        pending.push_notice(Notice::Lost(Loss::Reported));
        pending.push_notice(Notice::Lost(Loss::Dialect));
        let next = pending.pop();
        assert!(matches!(
            next,
            Some(Pending::Notice(Notice::Lost(Loss::Dialect)))
        ));
        assert!(pending.pop().is_none());
    }
}
