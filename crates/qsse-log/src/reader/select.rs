//! Selecting the last events of each topic, part by part.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use qsse_proto::stream::GapReason;
use qsse_topic::Topic;

use super::selecting::Selecting;
use super::{Reader, Step, gap};
use crate::error::StartError;
use crate::topics::scan::{PART, Scan};

impl Reader {
    /// Completes a start that selects events. The log's lock is released after each part.
    pub(crate) fn select(&mut self) -> Result<(), StartError> {
        while !self.select_part()? {}
        self.start_at_selected()
    }

    /// Completes a start that selects events. Each part but the first waits for what `turn`
    /// returns, and holds that until it is done.
    ///
    /// Dropping the future and the reader ends the search.
    pub(crate) async fn select_in_turns<F: Future>(
        &mut self,
        turn: impl Fn() -> F,
    ) -> Result<(), StartError> {
        let mut complete = self.select_part()?;
        while !complete {
            let _turn = turn().await;
            complete = self.select_part()?;
        }
        self.start_at_selected()
    }

    /// Searches the next part. Returns true if there is no more.
    fn select_part(&mut self) -> Result<bool, StartError> {
        match &mut self.selecting {
            Some(selecting) => selecting.part(&self.shared),
            None => Ok(true),
        }
    }

    /// Returns what was selected: `None` if nothing was asked for, and `Some(None)` if it is too
    /// much.
    pub(super) fn take_selected(&mut self) -> Option<Option<VecDeque<u64>>> {
        let (selected, bytes) = self.selecting.take()?.finish();
        self.selected_bytes = Some(bytes);
        Some(selected)
    }

    /// Begins to select the last event of each topic after a lag, up to `visible`.
    pub(super) fn begin_latest(&mut self, visible: u64) -> Step {
        let (filter, range) = (self.feed.filter(), (self.position, visible));
        self.selecting = Some(Selecting::new(&self.shared, filter, 1, range));
        self.select_latest(visible)
    }

    /// Continues that. If there are too many, all are skipped.
    pub(super) fn select_latest(&mut self, visible: u64) -> Step {
        let (after, part) = (self.position, self.select_part());
        if matches!(part, Ok(false)) {
            return Step::Looking;
        }
        let selected = self.take_selected().flatten();
        self.selected = selected.filter(|_| part.is_ok()).unwrap_or_default();
        if self.selected.is_empty() {
            self.selected_bytes = None;
        }
        self.skip_to(visible);
        Step::Gap(gap(after, visible, GapReason::Latest))
    }

    /// Continues after `visible`, with the selected events before that.
    pub(super) fn skip_to(&mut self, visible: u64) {
        (self.selected_until, self.reported) = (visible, visible);
        if self.selected.is_empty() {
            self.position = visible;
        }
    }

    /// Returns up to where events are being selected after a lag.
    pub(super) fn selects_until(&self) -> Option<u64> {
        self.selecting.as_ref().map(Selecting::upto)
    }

    /// Searches the next part of the topics in memory. Calls `found` with each one that matches the
    /// filter, how many of its last `n` events up to `until` there are, and the first of them.
    /// Returns true if there are no more.
    pub(super) fn last_in_memory(
        &self,
        scan: &mut Scan,
        (n, until): (usize, u64),
        mut found: impl FnMut(&Topic, usize, u64),
    ) -> bool {
        let state = self.shared.state.lock();
        let topics = &state.topics;
        scan.part(topics, self.feed.filter(), PART, |id| {
            if let Some((count, first)) = topics.last(id, n, until) {
                found(topics.name(id), count, first);
            }
            ControlFlow::Continue(())
        })
    }
}
