//! Compares what subscribers see with what they may see.

use super::*;

/// Reading.
impl Model {
    /// What a subscription in the server's own process saw.
    pub(crate) fn witnessed(&mut self, event: &Event) {
        self.moment();
        self.identify(event);
    }

    pub(crate) fn event(&mut self, reading: usize, event: &Event) {
        let now = self.moment();
        self.seen += 1;
        let id = event.id();
        crate::tell(|| {
            let (seq, topic) = (id.seq(), event.topic());
            format!("    {} sees {seq} on {topic}", self.readings[reading].name)
        });
        self.absorb(id.seq() ^ (reading as u64) << 48);
        let Some(number) = self.identify(event) else {
            return;
        };
        let topic = event.topic().as_str();
        let (client, published) = (self.readings[reading].client, self.publishes[number].begun);
        let allowed = self.may(client, published, |rights| rights.may_read(topic));
        let there = self.stands(reading, id);
        let Reading {
            name,
            filter,
            stays,
            ..
        } = &mut self.readings[reading];
        let Some(stay) = stays.last_mut() else {
            return;
        };
        let last = stay.seen.last().copied().unwrap_or(stay.from.seq());
        let mut wrong = Vec::new();
        if !there {
            wrong.push(format!("{name} saw {id}, of another log than its own"));
        } else if id.seq() <= last {
            wrong.push(format!(
                "{name} saw {id} (seq {}) after seq {last}",
                id.seq()
            ));
        } else {
            stay.seen.push(id.seq());
            stay.pass(id, now);
        }
        if !filter.matches(event.topic().as_topic_ref()) {
            wrong.push(format!("{name} saw {topic}, which {filter} does not match"));
        }
        if !allowed {
            wrong.push(format!(
                "{name} of client {client} saw {id} on {topic}, which it may not read since before that was published"
            ));
        }
        wrong.into_iter().for_each(|text| self.fault(text));
    }

    pub(crate) fn gap(&mut self, reading: usize, gap: &Gap, at_ms: u64) {
        self.moment();
        self.news += 1;
        self.absorb(gap.to.seq() ^ 1 << 60);
        crate::tell(|| format!("    {} is told {gap:?}", self.readings[reading].name));
        let (keeps_all, damaged) = (self.setting.keeps_all(), self.setbacks > 0);
        let (unclean, store) = (self.unclean, self.setting.store);
        let there = self.stands(reading, gap.to);
        let Reading {
            name, lag, stays, ..
        } = &mut self.readings[reading];
        let mut wrong = None;
        let possible = match gap.reason {
            // A segment in which nothing is left that can be read goes like one that nobody wants.
            GapReason::Retention | GapReason::Lag => !keeps_all || damaged,
            GapReason::Skipped => *lag == Lag::Skip,
            GapReason::Latest => *lag == Lag::Latest,
            GapReason::Damaged => unclean && store != StoreKind::None,
            _ => false,
        };
        if !possible {
            wrong = Some(format!("{name} was told of a gap that cannot be: {gap:?}"));
        }
        if let Some(stay) = stays.last_mut() {
            if !there {
                wrong = Some(format!("{name} was told of a gap in another log: {gap:?}"));
            }
            stay.gaps.push(ToldGap {
                after: gap.after.seq(),
                to: gap.to,
                reason: gap.reason,
                at_ms,
            });
        }
        wrong.into_iter().for_each(|text| self.fault(text));
    }

    pub(crate) fn reset(&mut self, reading: usize, after: Option<EventId>, position: EventId) {
        let confirmed = self.moment();
        self.news += 1;
        self.absorb(position.seq() ^ 1 << 61);
        crate::tell(|| {
            format!(
                "    {} is reset to {position} after {after:?}",
                self.readings[reading].name
            )
        });
        let name = self.readings[reading].name.clone();
        let before = self.readings[reading].stays.last();
        let (asked, cursor) = before.map_or((0, None), |stay| (stay.asked, Some(stay.cursor)));
        if let Some(after) = after {
            let mut logs = self.logs.iter().filter(|log| log.knows(position));
            if logs.all(|log| log.knows(after)) {
                self.fault(format!(
                    "{name} was reset to {position} within a log, after {after}"
                ));
            }
            if cursor.is_some_and(|cursor| self.of_one_log(cursor, after))
                && let Some(stay) = self.readings[reading].stays.last_mut()
            {
                stay.pass(after, confirmed);
            }
        }
        let stay = Stay::new(Began::Reset, position, (asked, confirmed));
        self.readings[reading].stays.push(stay);
    }

    /// Whether a subscription may go on to an id without a reset.
    fn stands(&self, reading: usize, id: EventId) -> bool {
        let stay = self.readings[reading].stays.last();
        stay.is_none_or(|stay| self.of_one_log(stay.cursor, id))
    }

    /// What the subscription says of its position.
    pub(crate) fn position(&mut self, reading: usize, cursor: EventId) {
        let now = self.moment;
        if !self.stands(reading, cursor) {
            let name = self.readings[reading].name.clone();
            self.fault(format!(
                "{name} stands at {cursor}, of another log than its own"
            ));
        } else if let Some(stay) = self.readings[reading].stays.last_mut() {
            stay.pass(cursor, now);
        }
    }

    /// Where it stands: what a program would save.
    pub(crate) fn cursor(&self, reading: usize) -> Option<EventId> {
        let stay = self.readings[reading].stays.last()?;
        Some(stay.cursor)
    }
}
