//! What subscribers see, against what they have a right to.

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
        let Reading {
            name,
            filter,
            stays,
            ..
        } = &mut self.readings[reading];
        let Some(stay) = stays.last_mut() else {
            return;
        };
        let last = stay.seen.last().copied().unwrap_or(stay.from);
        let mut wrong = Vec::new();
        if stay.epoch != log_of(id.epoch()) {
            wrong.push(format!("{name} saw {id}, of another log than its own"));
        } else if id.seq() <= last {
            wrong.push(format!(
                "{name} saw {id} (seq {}) after seq {last}",
                id.seq()
            ));
        } else {
            stay.seen.push(id.seq());
            stay.pass(id.seq(), now);
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

    pub(crate) fn gap(&mut self, reading: usize, gap: &Gap) {
        self.moment();
        self.news += 1;
        self.absorb(gap.to.seq() ^ 1 << 60);
        crate::tell(|| format!("    {} is told {gap:?}", self.readings[reading].name));
        let keeps_all = self.setting.keeps_all();
        let (unclean, store) = (self.unclean, self.setting.store);
        let Reading {
            name, lag, stays, ..
        } = &mut self.readings[reading];
        let mut wrong = None;
        let (after, to) = (gap.after.seq(), gap.to.seq());
        let possible = match gap.reason {
            GapReason::Retention | GapReason::Lag => !keeps_all,
            GapReason::Skipped => *lag == Lag::Skip,
            GapReason::Latest => *lag == Lag::Latest,
            GapReason::Damaged => unclean && store != StoreKind::None,
            _ => false,
        };
        if !possible {
            wrong = Some(format!("{name} was told of a gap that cannot be: {gap:?}"));
        }
        if let Some(stay) = stays.last_mut() {
            if stay.epoch != log_of(gap.to.epoch()) {
                wrong = Some(format!("{name} was told of a gap in another log: {gap:?}"));
            }
            stay.gaps.push((after, to, gap.reason));
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
        let keeps_all = self.setting.keeps_all();
        let Reading { name, stays, .. } = &mut self.readings[reading];
        let mut wrong = None;
        // A reset does not move the cursor, so it is told again until an event does.
        let again =
            |stay: &mut Stay| stay.epoch == log_of(position.epoch()) && stay.seen.is_empty();
        let moved = after.is_some_and(|after| log_of(after.epoch()) == log_of(position.epoch()));
        let asked = stays.last().map_or(0, |stay| stay.asked);
        if !moved {
            stays.pop_if(again);
        }
        if let Some(stay) = stays.last_mut() {
            if stay.epoch == log_of(position.epoch()) {
                wrong = Some(format!(
                    "{name} was reset to {position} within a log, after {after:?}"
                ));
            }
            if let Some(after) = after.filter(|after| log_of(after.epoch()) == stay.epoch) {
                stay.pass(after.seq(), confirmed);
            }
        }
        if keeps_all && position.seq() != 0 {
            wrong = Some(format!(
                "{name} was reset to {position}, and everything is kept"
            ));
        }
        let asked = stays.last().map_or(asked, |stay| stay.asked);
        let epoch = log_of(position.epoch());
        let when = (asked, confirmed);
        stays.push(Stay::new(epoch, Began::Reset, position.seq(), when));
        wrong.into_iter().for_each(|text| self.fault(text));
    }

    /// What the subscription says of its position.
    pub(crate) fn position(&mut self, reading: usize, cursor: EventId) {
        let now = self.moment;
        if let Some(stay) = self.readings[reading].stays.last_mut()
            && stay.epoch == log_of(cursor.epoch())
        {
            stay.pass(cursor.seq(), now);
        }
    }

    /// Where it stands: what a program would save.
    pub(crate) fn cursor(&self, reading: usize) -> Option<(u64, u64)> {
        let stay = self.readings[reading].stays.last()?;
        Some((stay.epoch, stay.upto))
    }

    /// The server ended otherwise than by draining, when its log stood at `head`.
    pub(crate) fn ended(&mut self, power: bool, head: (u64, u64)) {
        self.losses += 1;
        let lossy = match self.setting.store {
            StoreKind::None | StoreKind::Memory => true,
            StoreKind::Written => power,
            StoreKind::Synced => false,
        };
        self.unclean |= self.setting.store != StoreKind::Synced;
        if lossy {
            let moment = self.moment();
            self.lossy.push((head.0, head.1, moment));
        }
    }

    /// Whether an end may have taken this event back.
    pub(crate) fn at_risk(&self, epoch: u64, seq: u64) -> bool {
        let mut ends = self.lossy.iter();
        ends.any(|(of, head, _)| *of == epoch && seq <= *head)
    }

    /// Whether an end may have taken back what this publish became.
    pub(crate) fn publish_at_risk(&self, number: usize) -> bool {
        let begun = self.publishes[number].begun;
        self.lossy.iter().any(|(_, _, moment)| begun < *moment)
    }
}
