//! [`Judge`]: records the outcome of every event, at its publisher and at each handler.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use parking_lot::Mutex;
use qsse_client::{Epoch, Event, EventId, Filter, Notice, Topic};

use super::setup::Acknowledge;

/// An event's own name: its publisher, and its number there from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) publisher: usize,
    pub(super) number: usize,
}

impl Name {
    /// 128 bytes that say it.
    pub(super) fn data(self) -> [u8; 128] {
        let mut data = [7; 128];
        data[..8].copy_from_slice(&(self.publisher as u64).to_le_bytes());
        data[8..16].copy_from_slice(&(self.number as u64).to_le_bytes());
        data
    }

    fn of(event: &Event) -> Option<Self> {
        let data = event.data();
        let word = |at: usize| {
            let bytes = data.get(at..at + 8)?.try_into().ok()?;
            Some(u64::from_le_bytes(bytes) as usize)
        };
        let name = Self {
            publisher: word(0)?,
            number: word(8)?,
        };
        (data[..] == name.data()).then_some(name)
    }
}

/// What its publisher was told of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing yet.
    Nothing,
    Acknowledged,
    /// Published or not, nobody knows.
    Unknown,
    /// Not published.
    Refused,
}

/// What everybody has seen.
pub(super) struct Judge {
    acknowledge: Acknowledge,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The epoch of each seq: one for each start of the server.
    epochs: HashMap<u64, Epoch>,
    publishers: Vec<Publisher>,
    watchers: Vec<Watcher>,
    /// Which event each id names.
    named: HashMap<u64, Name>,
    acknowledged: u64,
    unknown: u64,
    refused: u64,
    faults: Vec<String>,
    fault_count: u64,
}

struct Publisher {
    /// The kind of publisher, and so of its topics.
    kind: String,
    told: Vec<Told>,
    /// The seq of each event, once it is known; 0 before.
    seqs: Vec<u64>,
}

struct Watcher {
    name: &'static str,
    filter: Filter,
    last: u64,
    /// The number that each publisher's events are past, and which of them came.
    past: Vec<usize>,
    came: Vec<Vec<bool>>,
    gaps: Vec<(u64, u64)>,
    events: u64,
    done: bool,
}

/// What became of an event at a watcher.
enum Verdict {
    Good,
    /// It was acknowledged, and did not come.
    Lost,
    Wrong(String),
}

/// Faults that are told one by one.
const FAULTS: usize = 20;

impl Judge {
    pub(super) fn new(acknowledge: Acknowledge) -> Self {
        let state = Mutex::default();
        Self { acknowledge, state }
    }

    /// Whether what was acknowledged may be lost with the process.
    pub(super) fn may_lose(&self) -> bool {
        self.acknowledge == Acknowledge::Memory
    }

    /// A publisher of this kind; its number.
    pub(super) fn publisher(&self, kind: &str) -> usize {
        let mut state = self.state.lock();
        state.publishers.push(Publisher {
            kind: kind.to_owned(),
            told: Vec::new(),
            seqs: Vec::new(),
        });
        state.publishers.len() - 1
    }

    /// A watcher of these events; its number.
    pub(super) fn watcher(&self, name: &'static str, filter: Filter) -> usize {
        let mut state = self.state.lock();
        state.watchers.push(Watcher {
            name,
            filter,
            last: 0,
            past: Vec::new(),
            came: Vec::new(),
            gaps: Vec::new(),
            events: 0,
            done: false,
        });
        state.watchers.len() - 1
    }

    /// The topic of an event.
    pub(super) fn topic(kind: &str, name: Name) -> String {
        format!("load.{kind}.{}.{}", name.publisher, name.number % 4)
    }

    /// The next event of a publisher is about to be sent.
    pub(super) fn send(&self, publisher: usize) -> Name {
        let mut state = self.state.lock();
        let of = &mut state.publishers[publisher];
        let number = of.told.len();
        of.told.push(Told::Nothing);
        of.seqs.push(0);
        Name { publisher, number }
    }

    /// The publisher learnt what became of an event.
    pub(super) fn tell(&self, name: Name, told: Told, id: Option<EventId>) {
        let mut state = self.state.lock();
        state.publishers[name.publisher].told[name.number] = told;
        match told {
            Told::Acknowledged => state.acknowledged += 1,
            Told::Unknown => state.unknown += 1,
            Told::Refused => state.refused += 1,
            Told::Nothing => {}
        }
        if let Some(id) = id {
            state.name(id, name, "its publisher");
        }
    }

    /// A handler was called.
    pub(super) fn arrive(&self, watcher: usize, event: &Event) {
        let mut state = self.state.lock();
        if event.topic().as_str() == super::setup::END {
            state.watchers[watcher].done = true;
            return;
        }
        let who = state.watchers[watcher].name;
        let Some(name) = Name::of(event) else {
            return state.fault(format!("{who}: {} has other data", event.id()));
        };
        let known = state.publishers.get(name.publisher);
        let known = known.filter(|of| name.number < of.told.len());
        let right = |of: &Publisher| event.topic().as_str() == Self::topic(&of.kind, name);
        if !known.is_some_and(right) {
            return state.fault(format!("{who}: {name:?} was never published there"));
        }
        state.name(event.id(), name, who);
        let of = &mut state.watchers[watcher];
        of.events += 1;
        let seq = event.id().seq();
        let before = of.last;
        of.last = before.max(seq);
        if of.came.len() <= name.publisher {
            of.came.resize(name.publisher + 1, Vec::new());
            of.past.resize(name.publisher + 1, 0);
        }
        let came = &mut of.came[name.publisher];
        if came.len() <= name.number {
            came.resize(name.number + 1, false);
        }
        let twice = std::mem::replace(&mut came[name.number], true);
        let past = std::mem::replace(&mut of.past[name.publisher], name.number + 1);
        if twice {
            state.fault(format!("{who}: {name:?} came twice"));
        } else if seq <= before {
            state.fault(format!("{who}: {seq} came after {before}"));
        } else if name.number < past {
            state.fault(format!("{who}: {name:?} came after number {}", past - 1));
        }
    }

    /// A subscription reported a notice.
    pub(super) fn notice(&self, watcher: usize, notice: &Notice) {
        let mut state = self.state.lock();
        let who = state.watchers[watcher].name;
        match notice {
            Notice::Gap(gap) => {
                let gap = (gap.after.seq(), gap.to.seq());
                state.watchers[watcher].gaps.push(gap);
                if self.acknowledge == Acknowledge::Synced {
                    state.fault(format!("{who}: {notice}"));
                }
            }
            notice => state.fault(format!("{who}: {notice}")),
        }
    }

    /// Something is wrong.
    pub(super) fn complain(&self, fault: String) {
        self.state.lock().fault(fault);
    }

    /// Publishes acknowledged so far.
    pub(super) fn acknowledged(&self) -> u64 {
        self.state.lock().acknowledged
    }

    /// Events that each watcher has had.
    pub(super) fn handled(&self) -> Vec<u64> {
        let state = self.state.lock();
        state.watchers.iter().map(|of| of.events).collect()
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_content(&self) -> bool {
        self.state.lock().fault_count == 0
    }

    /// Whether all watchers have seen the end.
    pub(super) fn is_done(&self) -> bool {
        self.state.lock().watchers.iter().all(|of| of.done)
    }

    pub(super) fn summary(&self) -> String {
        let state = self.state.lock();
        let events: u64 = state.watchers.iter().map(|of| of.events).sum();
        let gaps: usize = state.watchers.iter().map(|of| of.gaps.len()).sum();
        format!(
            "{} acknowledged, {} unknown, {} refused; {events} handled, {gaps} gaps told, {} faults",
            state.acknowledged, state.unknown, state.refused, state.fault_count
        )
    }

    /// What came of it all, once everybody has ended.
    pub(super) fn conclude(&self) -> Result<()> {
        let may_lose = self.may_lose();
        let lost = self.state.lock().find_lost(may_lose);
        println!("{}", self.summary());
        let state = self.state.lock();
        for of in &state.watchers {
            println!(
                "  {:<14} {:>9} events, {:>4} gaps",
                of.name,
                of.events,
                of.gaps.len()
            );
        }
        let unpublished = state.unknown_unpublished();
        println!(
            "  of {} with an unknown outcome {unpublished} never came; {} were refused behind one of those",
            state.unknown, state.refused
        );
        if may_lose {
            println!(
                "  {lost} deliveries of acknowledged events were lost, each inside a gap that was told"
            );
        }
        for fault in &state.faults {
            println!("FAULT {fault}");
        }
        ensure!(
            state.fault_count == 0,
            "{} faults: something was lost, came twice or out of order",
            state.fault_count
        );
        println!("nothing was lost silently, nothing came twice, nothing out of order");
        Ok(())
    }
}

impl State {
    fn fault(&mut self, fault: String) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS {
            self.faults.push(fault);
        }
    }

    /// An event has this id, by somebody's word: no id names two events, no event has two ids.
    fn name(&mut self, id: EventId, name: Name, who: &str) {
        let seq = id.seq();
        let epoch = *self.epochs.entry(seq).or_insert(id.epoch());
        if epoch != id.epoch() {
            self.fault(format!("{who}: {id} had the epoch {epoch:?} before"));
        }
        let other = *self.named.entry(seq).or_insert(name);
        if other != name {
            self.fault(format!("{who}: {seq} names {name:?} and {other:?}"));
        }
        let before = &mut self.publishers[name.publisher].seqs[name.number];
        let before = std::mem::replace(before, seq);
        if before != 0 && before != seq {
            self.fault(format!("{who}: {name:?} is {seq} and {before}"));
        }
    }

    /// Counts what was acknowledged and did not come, where that may be; everywhere else it is a
    /// fault.
    fn find_lost(&mut self, may_lose: bool) -> u64 {
        let (mut lost, mut faults) = (0, Vec::new());
        for (watcher, (publisher, of)) in self.pairs() {
            let came = watcher.came.get(publisher).map_or(&[][..], Vec::as_slice);
            for number in 0..of.told.len() {
                let name = Name { publisher, number };
                match watcher.verdict(of, name, came) {
                    Verdict::Good => {}
                    Verdict::Lost if may_lose && watcher.was_told(of, number, came) => lost += 1,
                    Verdict::Lost => faults.push(format!(
                        "{}: {name:?} was acknowledged and never came",
                        watcher.name
                    )),
                    Verdict::Wrong(fault) => faults.push(fault),
                }
            }
        }
        faults.into_iter().for_each(|fault| self.fault(fault));
        lost
    }

    /// Each watcher with each publisher and its number.
    fn pairs(&self) -> impl Iterator<Item = (&Watcher, (usize, &Publisher))> {
        let publishers = || self.publishers.iter().enumerate();
        let watchers = self.watchers.iter();
        watchers.flat_map(move |watcher| publishers().map(move |of| (watcher, of)))
    }

    fn unknown_unpublished(&self) -> usize {
        let of = |of: &Publisher| {
            let both = of.told.iter().zip(&of.seqs);
            both.filter(|(told, seq)| **told == Told::Unknown && **seq == 0)
                .count()
        };
        self.publishers.iter().map(of).sum()
    }
}

impl Watcher {
    fn wants(&self, kind: &str, name: Name) -> bool {
        let topic = Topic::new(Judge::topic(kind, name)).expect("topics are made of plain text");
        self.filter.matches(&topic)
    }

    /// What became of an event here: `came` tells which of its publisher's events came.
    fn verdict(&self, of: &Publisher, name: Name, came: &[bool]) -> Verdict {
        let has = came.get(name.number).copied().unwrap_or(false);
        match of.told[name.number] {
            Told::Nothing => Verdict::Wrong(format!("{name:?} has no outcome")),
            Told::Refused if has => Verdict::Wrong(format!("{name:?} was refused and came")),
            Told::Acknowledged if !has && self.wants(&of.kind, name) => Verdict::Lost,
            _ => Verdict::Good,
        }
    }

    /// Whether a gap was told where the event is missing: between the publisher's events before and
    /// after that came.
    fn was_told(&self, of: &Publisher, number: usize, came: &[bool]) -> bool {
        let has = |at: &usize| came.get(*at).copied().unwrap_or(false);
        let before = (0..number).rev().find(has).map_or(0, |at| of.seqs[at]);
        let after = (number..of.seqs.len()).find(has);
        let after = after.map_or(u64::MAX, |at| of.seqs[at]);
        self.gaps
            .iter()
            .any(|(from, to)| *from < after && *to > before)
    }
}
