//! [`TextNotice`]: what a stream of text reports besides events.

use serde::Serialize;

use super::event::write_json;
use crate::event_id::EventId;
use crate::notice::{Gap, Reset};

/// What a stream of text reports between two events, or at its end.
#[derive(Clone, Copy, Debug)]
pub enum TextNotice<'a> {
    /// Events may be missing.
    Gap(&'a Gap),
    /// The position is not of this log.
    Reset(&'a Reset),
    /// The stream ends here.
    End {
        /// The number of a [`Code`](crate::Code).
        code: u64,
        /// Why, and what to do.
        message: &'a str,
        /// Whether to connect again later. If not, a client gives up.
        retry: bool,
    },
}

impl TextNotice<'_> {
    /// Appends the notice as a line of JSON: an object with one key, `gap`, `reset` or `end`
    /// (QP-14.10).
    pub fn write_line(&self, out: &mut Vec<u8>) {
        write_json(out, &Keyed::from(self));
        out.push(b'\n');
    }
}

/// A notice without its name.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Body<'a> {
    Gap {
        from: EventId,
        to: EventId,
        at_most: u64,
        reason: &'static str,
    },
    Reset {
        after: Option<EventId>,
        position: EventId,
    },
    End {
        code: u64,
        message: &'a str,
        retry: bool,
    },
}

/// A notice under its name.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Keyed<'a> {
    Gap(Body<'a>),
    Reset(Body<'a>),
    End(Body<'a>),
}

impl<'a> From<&TextNotice<'a>> for Body<'a> {
    fn from(notice: &TextNotice<'a>) -> Self {
        match *notice {
            TextNotice::Gap(gap) => Self::Gap {
                from: gap.first(),
                to: gap.to,
                at_most: gap.at_most,
                reason: gap.reason.meaning(),
            },
            TextNotice::Reset(reset) => Self::Reset {
                after: reset.after,
                position: reset.position,
            },
            TextNotice::End {
                code,
                message,
                retry,
            } => Self::End {
                code,
                message,
                retry,
            },
        }
    }
}

impl<'a> From<&TextNotice<'a>> for Keyed<'a> {
    fn from(notice: &TextNotice<'a>) -> Self {
        let body = notice.into();
        match notice {
            TextNotice::Gap(_) => Self::Gap(body),
            TextNotice::Reset(_) => Self::Reset(body),
            TextNotice::End { .. } => Self::End(body),
        }
    }
}
