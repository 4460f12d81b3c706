//! The logs of a run, one after the other, and the ids of each.

use std::collections::BTreeMap;

use qsse_client::EventId;

use super::{Known, Model};
use crate::program::StoreKind;

/// A log: its epochs, each with the first seq that an event of it may have. A store that is opened
/// again is the same log with a further epoch; one that has gone back to an earlier state is
/// another one, which has the beginning of the one before.
pub(crate) struct Log(Vec<(u64, u64)>);

/// What was done to a store before it was opened again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setback {
    /// A copy was put back, which was made at this moment and has everything up to a seq.
    Restored { made: u64, safe: u64 },
    /// A file was damaged that has these seqs. So much that nobody can tell any more how far they
    /// were used, if it is `unmarked`.
    Damaged { from: u64, to: u64, unmarked: bool },
}

/// Events that may be lost.
pub(super) struct Loss {
    log: usize,
    from: u64,
    to: u64,
    /// When that was, and since when: what was told before then is not lost.
    moment: u64,
    since: u64,
}

impl Log {
    /// Whether this is a position in it.
    pub(crate) fn knows(&self, id: EventId) -> bool {
        let mut spans = self.spans();
        spans.any(|(epoch, _, last)| epoch == id.epoch().get() && id.seq() <= last)
    }

    /// The epochs, each with its first and its last seq.
    fn spans(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let Self(epochs) = self;
        let next = epochs.iter().skip(1).map(|(_, first)| first - 1);
        let last = next.chain([u64::MAX]);
        let spans = epochs.iter().zip(last);
        spans.map(|((epoch, first), last)| (*epoch, *first, last))
    }

    /// Its events after a seq, in order.
    pub(crate) fn events<'m>(
        &self,
        events: &'m BTreeMap<EventId, Known>,
        after: u64,
    ) -> impl Iterator<Item = (EventId, &'m Known)> {
        let spans: Vec<_> = self.spans().collect();
        let spans =
            (spans.into_iter()).filter(move |(_, first, last)| *last > after && first <= last);
        spans.flat_map(move |(epoch, first, last)| {
            let id = |seq| EventId::new(qsse_proto::Epoch::new(epoch), seq);
            let range = id(first.max(after + 1))..=id(last.max(after + 1));
            events.range(range).map(|(id, known)| (*id, known))
        })
    }
}

impl Model {
    /// The log there is now.
    pub(crate) fn log(&self) -> &Log {
        self.logs.last().expect("a server has started")
    }

    /// All that there were, in order.
    pub(crate) fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// Whether two ids may be positions in one log.
    pub(crate) fn of_one_log(&self, one: EventId, other: EventId) -> bool {
        let mut logs = self.logs.iter();
        logs.any(|log| log.knows(one) && log.knows(other))
    }

    /// The newest log that has a position.
    pub(crate) fn log_of(&self, id: EventId) -> &Log {
        let mut logs = self.logs.iter().rev();
        logs.find(|log| log.knows(id)).unwrap_or(self.log())
    }

    /// The last seq of the log there is now of which somebody has heard as an event's.
    pub(crate) fn acked(&self) -> u64 {
        let events = self.log().events(&self.events, 0);
        events.last().map_or(0, |(id, _)| id.seq())
    }

    /// The same, or as a position.
    pub(crate) fn told_of(&self) -> u64 {
        let log = self.log();
        let stays = self.readings.iter().flat_map(|reading| &reading.stays);
        let positions = stays.map(|stay| stay.cursor).filter(|id| log.knows(*id));
        let last = positions.map(|id| id.seq()).max();
        self.acked().max(last.unwrap_or(0))
    }

    /// A server in memory starts.
    pub(crate) fn began(&mut self, epoch: u64) {
        self.logs.push(Log(vec![(epoch, 1)]));
    }

    /// A store was opened, with these epochs; it is `clean` if it says that it was closed before.
    pub(crate) fn opened(
        &mut self,
        epochs: Vec<(u64, u64)>,
        clean: bool,
        setback: Option<Setback>,
    ) {
        let next = epochs.last().map_or(1, |(_, first)| *first);
        let told = self.logs.last().map_or(0, |_| self.told_of());
        let moment = self.moment();
        let log = Log(epochs);
        let again = next <= told;
        let goes_back = match setback {
            None => false,
            Some(Setback::Restored { .. }) => true,
            Some(Setback::Damaged { from, unmarked, .. }) => {
                // Of positions that were told besides nobody knows.
                unmarked && !clean && next >= from
            }
        };
        if again && !goes_back {
            self.fault(format!(
                "the store goes on with seq {next}, and there was a seq {told} before ({setback:?})"
            ));
        }
        match self.logs.last_mut() {
            Some(last) if !goes_back => *last = log,
            _ => self.logs.push(log),
        }
        let (from, to, since) = match setback {
            None => return,
            Some(Setback::Restored { made, safe }) => match self.setting.store {
                StoreKind::Memory => (0, next - 1, 0),
                _ => (safe + 1, next - 1, made),
            },
            Some(Setback::Damaged { from, to, .. }) => (from, to.min(next - 1), 0),
        };
        self.unclean = true;
        self.setbacks += 1;
        let log = self.logs.len() - 1;
        self.lossy.push(Loss {
            log,
            from,
            to,
            moment,
            since,
        });
    }

    /// The server ended otherwise than by draining, when its log stood at `head`.
    pub(crate) fn ended(&mut self, power: bool, head: u64) {
        self.losses += 1;
        let lossy = match self.setting.store {
            StoreKind::None | StoreKind::Memory => true,
            StoreKind::Written => power,
            StoreKind::Synced => false,
        };
        // A crash may leave the mark of an append that it tore: a gap that was nobody's.
        self.unclean |= power || self.setting.store != StoreKind::Synced;
        if lossy {
            let moment = self.moment();
            self.lossy.push(Loss {
                log: self.logs.len() - 1,
                from: 0,
                to: head,
                moment,
                since: 0,
            });
        }
    }

    /// Whether an end of the server loses nothing that was told, as long as the disk lives.
    pub(crate) fn is_lossless(&self) -> bool {
        self.setting.store == StoreKind::Synced
    }

    /// Whether this event may have been taken back: by an end, by damage, or because the log went
    /// back to where it was before.
    pub(crate) fn at_risk(&self, id: EventId) -> bool {
        let mut lossy = self.lossy.iter();
        !self.log().knows(id)
            || lossy.any(|loss| {
                let within = loss.from <= id.seq() && id.seq() <= loss.to;
                within && self.logs[loss.log].knows(id)
            })
    }

    /// Whether what this publish became may have been taken back.
    pub(crate) fn publish_at_risk(&self, number: usize) -> bool {
        let publish = &self.publishes[number];
        let lost = |loss: &Loss| publish.begun < loss.moment && publish.settled > loss.since;
        self.lossy.iter().any(lost)
    }
}
