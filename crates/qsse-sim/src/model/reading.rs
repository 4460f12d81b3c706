//! What subscriptions saw.

use super::*;

/// What a subscription saw, over all the subscriptions that it was in turn.
pub(crate) struct Reading {
    pub(crate) name: String,
    pub(crate) client: usize,
    pub(crate) filter: Filter,
    pub(crate) lag: Lag,
    pub(crate) stays: Vec<Stay>,
    /// It has ended.
    pub(crate) over: bool,
}

/// What it saw of one log.
#[derive(Clone)]
pub(crate) struct Stay {
    pub(crate) began: Began,
    pub(crate) from: EventId,
    /// Before it was asked for.
    pub(crate) asked: u64,
    /// When it was confirmed.
    pub(crate) confirmed: u64,
    pub(crate) seen: Vec<u64>,
    pub(crate) gaps: Vec<ToldGap>,
    /// Everything up to here has been handed out, it says.
    pub(crate) cursor: EventId,
    /// When it said so, by the seq that it said.
    pub(crate) passed: Vec<(u64, u64)>,
}

/// A gap that it was told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToldGap {
    pub(crate) after: u64,
    pub(crate) to: EventId,
    pub(crate) reason: GapReason,
    pub(crate) at_ms: u64,
}

impl ToldGap {
    /// Whether the event of a seq is in it.
    pub(crate) fn holds(&self, seq: u64) -> bool {
        self.after < seq && seq <= self.to.seq()
    }
}

impl Stay {
    pub(crate) fn new(began: Began, from: EventId, (asked, confirmed): (u64, u64)) -> Self {
        Self {
            began,
            from,
            asked,
            confirmed,
            seen: Vec::new(),
            gaps: Vec::new(),
            cursor: from,
            passed: Vec::new(),
        }
    }

    /// Everything up to here has been handed out, at this moment.
    pub(super) fn pass(&mut self, upto: EventId, now: u64) {
        if upto.seq() > self.cursor.seq() {
            self.cursor = upto;
            self.passed.push((upto.seq(), now));
        }
    }
}

/// How a stay began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Began {
    Live { acked: u64 },
    After,
    Earliest,
    Since { time: u64, acked: u64 },
    Last { n: u64, acked: u64, head: u64 },
    Reset,
}
