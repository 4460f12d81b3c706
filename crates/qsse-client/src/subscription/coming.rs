//! [`Coming`]: the streams that a subscription has not taken up yet, and what is to be said between them.

use std::collections::VecDeque;

use qsse_proto::Epoch;
use qsse_proto::stream::{Decoder, StreamHeader};
use qsse_transport::RecvStream;

use crate::notice::Notice;

/// Streams of lost connections that are kept to be read: each may hold as much as the stream's window.
const MAX_LINES: usize = 4;

/// A stream to be read, of either dialect.
pub(crate) enum Source {
    Frames(Box<Incoming>),
    /// The Go library's lines.
    Lines {
        /// Which of the subscription's connections it is of.
        link: u32,
        stream: RecvStream,
    },
}

/// A stream whose header has come.
pub(crate) struct Incoming {
    pub(crate) stream: RecvStream,
    pub(crate) decoder: Decoder,
    pub(crate) header: StreamHeader,
    /// How many resets the subscription had met when it was asked for.
    pub(crate) resets: u64,
    /// The epoch of the server's present life.
    pub(crate) server: Epoch,
}

/// What comes next.
pub(crate) enum Next {
    Source(Source),
    Notice(Notice),
}

/// What has come and is not taken up yet, in order.
#[derive(Default)]
pub(super) struct Coming(VecDeque<Next>);

impl Coming {
    /// Adds a stream. Gives back the one that it makes useless, to be dropped where no lock is held.
    #[must_use = "dropping it takes the connection's lock"]
    pub(super) fn offer(&mut self, source: Source) -> Option<Next> {
        let useless = match &source {
            // The newest one resumes from the same position.
            Source::Frames(_) => {
                (self.0.iter()).position(|next| matches!(next, Next::Source(Source::Frames(_))))
            }
            // What it has is lost; the notice behind it says so.
            Source::Lines { .. } => {
                let is_lines = |next: &Next| matches!(next, Next::Source(Source::Lines { .. }));
                let count = self.0.iter().filter(|next| is_lines(next)).count();
                let oldest = self.0.iter().position(is_lines);
                oldest.filter(|_| count >= MAX_LINES)
            }
        };
        let useless = useless.and_then(|index| self.0.remove(index));
        self.0.push_back(Next::Source(source));
        useless
    }

    /// Adds what is to be said behind everything that has come, once in a row.
    pub(super) fn say(&mut self, notice: Notice) {
        if let Some(Next::Notice(last)) = self.0.back_mut() {
            *last = notice;
        } else {
            self.0.push_back(Next::Notice(notice));
        }
    }

    pub(super) fn take(&mut self) -> Option<Next> {
        self.0.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::Loss;

    #[test]
    fn what_is_said_twice_in_a_row_is_said_once() {
        let mut coming = Coming::default();
        coming.say(Notice::Lost(Loss::Reported));
        coming.say(Notice::Lost(Loss::Dialect));
        let next = coming.take();
        assert!(matches!(
            next,
            Some(Next::Notice(Notice::Lost(Loss::Dialect)))
        ));
        assert!(coming.take().is_none());
    }
}
