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
    pub(crate) epoch: u64,
    pub(crate) began: Began,
    pub(crate) from: u64,
    /// Before it was asked for.
    pub(crate) asked: u64,
    /// When it was confirmed.
    pub(crate) confirmed: u64,
    pub(crate) seen: Vec<u64>,
    pub(crate) gaps: Vec<(u64, u64, GapReason)>,
    /// Everything up to here has been handed out, it says.
    pub(crate) upto: u64,
    /// When it said so, by what it said.
    pub(crate) passed: Vec<(u64, u64)>,
}

impl Stay {
    pub(crate) fn new(epoch: u64, began: Began, from: u64, (asked, confirmed): (u64, u64)) -> Self {
        Self {
            epoch,
            began,
            from,
            asked,
            confirmed,
            seen: Vec::new(),
            gaps: Vec::new(),
            upto: from,
            passed: Vec::new(),
        }
    }

    /// Everything up to here has been handed out, at this moment.
    pub(super) fn pass(&mut self, upto: u64, now: u64) {
        if upto > self.upto {
            self.upto = upto;
            self.passed.push((upto, now));
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
