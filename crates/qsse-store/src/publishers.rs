//! The runs of publishers. They are in the records of their events, and in a file that has all of
//! them up to some seq.
//!
//! The file is replaced whenever a segment is begun, so that an open reads only the records after
//! it. It is also replaced before records that it does not cover are removed from the disk. If it
//! cannot be written, or something after it is missing, it is unknown what was taken, and the table
//! is incomplete.
//!
//! ```text
//! | prologue | through u64 | from u64 | publishers u32 | publisher ... | checksum u32 |
//!
//! publisher: | id 16 | last u64 | time u64 | certain u8 | runs u8 | run ... |
//! run:       | number u64 | count u32 | events u32 | first u64 |
//! ```

use crate::entry::{PublisherRun, read_runs};
use crate::error::{OpenError, StoreError};
use crate::format::{Fields, PROLOGUE, Prologue, Seal, prologue, put_prologue};
use crate::io::{Io, read_file, replace};
use crate::options::Options;
use crate::segment::{Files, Segment};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

const MAGIC: &[u8; 8] = b"qsse.pub";
pub(crate) const NAME: &str = "publishers";
/// Ten million publishers with the fewest runs.
const LIMIT: u64 = 1 << 30;
/// How many of the newest runs of each publisher are remembered.
const RUNS: usize = 16;

/// What a store knows of a publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublisherState {
    /// The publisher.
    pub id: [u8; 16],
    /// The number of its last publish.
    pub last: u64,
    /// Whether it is certain that no later publish was taken. It is not certain if records are
    /// lost.
    pub certain: bool,
    /// Its newest runs, in order.
    pub runs: Vec<PublisherRun>,
}

/// The publishers of a store.
pub(crate) struct Table {
    known: HashMap<[u8; 16], Known>,
    /// Publishers that were active last before this time may be forgotten.
    from: u64,
    /// The latest time so far. Publishes with the time of a clock that was set back count as of
    /// this time, so that nothing is forgotten early.
    latest: u64,
    /// The file covers everything through this seq.
    through: u64,
    /// Whether nothing is missing.
    complete: bool,
    most: usize,
}

struct Known {
    last: u64,
    time: u64,
    certain: bool,
    runs: VecDeque<PublisherRun>,
}

impl Table {
    /// Reads the file and the records after it.
    pub(crate) fn open(
        segments: &[Arc<Segment>],
        files: &Files,
        options: &Options,
    ) -> Result<Self, OpenError> {
        let mut table = match read(&*files.io, files.seal)? {
            Some(table) => table,
            None => Self {
                complete: false,
                ..Self::new()
            },
        };
        table.most = options.max_publishers;
        let first = segments.first().map_or(1, |segment| segment.first);
        // Records that the file does not cover have been removed.
        let mut gap = first > table.through + 1;
        for segment in segments {
            if segment.end() <= table.through {
                let latest = segment.times().map_or(0, |(_, latest)| latest.as_micros());
                table.latest = table.latest.max(latest);
                continue;
            }
            let found = segment.index(files, |index| {
                let holes = index.holes();
                let lost = holes.iter().any(|(_, to)| *to > table.through);
                (index.records().to_vec(), lost)
            });
            let (records, lost) = found.map_err(OpenError::io("read an index"))?;
            gap |= lost;
            for record in &records {
                if record.last_seq <= table.through || record.tail_len() == 0 {
                    table.take(&[], record.last_time);
                    continue;
                }
                let whole = segment.whole(record, files.seal);
                let whole = whole.map_err(OpenError::io("read the newest publishers"))?;
                let runs = whole.and_then(|(_, tail)| read_runs(&tail, record.first_seq));
                gap |= runs.is_none();
                table.take(&runs.unwrap_or_default(), record.last_time);
            }
        }
        if gap {
            table.complete = false;
            // Publishers after the gap are known by their own records, but the gap may have had
            // later ones.
            table
                .known
                .values_mut()
                .for_each(|known| known.certain = false);
        }
        table.forget();
        Ok(table)
    }

    fn new() -> Self {
        Self {
            known: HashMap::new(),
            from: 0,
            latest: 0,
            through: 0,
            complete: true,
            most: 0,
        }
    }

    /// Returns all publishers, for the next process.
    pub(crate) fn states(&self) -> Vec<PublisherState> {
        let known = self.known.iter().map(|(id, known)| PublisherState {
            id: *id,
            last: known.last,
            certain: known.certain,
            runs: known.runs.iter().copied().collect(),
        });
        let mut all: Vec<_> = known.collect();
        // In the order of their last activity, so that the most idle ones are forgotten first.
        all.sort_unstable_by_key(|publisher| self.known[&publisher.id].active());
        all
    }

    /// Returns how long ago, counted from `last_time`, a known publisher may have been active last.
    pub(crate) fn age(&self, options: &Options, last_time: u64) -> Duration {
        if !self.complete || options.max_publishers == 0 {
            return Duration::ZERO;
        }
        match self.from {
            0 => options.publishers_age,
            from => {
                let known = Duration::from_micros(last_time.saturating_sub(from));
                options.publishers_age.min(known)
            }
        }
    }

    /// Adds the runs of the next events. `time` is the time of the last of them.
    pub(crate) fn take(&mut self, runs: &[PublisherRun], time: u64) {
        self.latest = self.latest.max(time);
        if self.most > 0 {
            runs.iter().for_each(|run| self.add(*run, self.latest));
        }
    }

    fn add(&mut self, run: PublisherRun, time: u64) {
        let known = self.known.entry(run.publisher).or_insert_with(|| Known {
            last: 0,
            time,
            certain: true,
            runs: VecDeque::new(),
        });
        known.last = run.number + u64::from(run.count.saturating_sub(1));
        (known.time, known.certain) = (time, true);
        if known.runs.len() == RUNS {
            known.runs.pop_front();
        }
        match known.runs.back_mut() {
            Some(last) if last.goes_on(&run) => {
                last.count += run.count;
                last.events += run.events;
            }
            _ => known.runs.push_back(run),
        }
        if self.known.len() >= self.most.saturating_mul(2) {
            self.forget();
        }
    }

    /// Forgets the most idle publishers if there are too many.
    fn forget(&mut self) {
        let surplus = self.known.len().saturating_sub(self.most);
        if surplus == 0 {
            return;
        }
        let known = self.known.iter();
        let mut idle: Vec<_> = known
            .map(|(id, known)| (known.active(), known.time, *id))
            .collect();
        idle.sort_unstable();
        for (_, time, id) in &idle[..surplus] {
            self.known.remove(id);
            self.from = self.from.max(time + 1);
        }
    }

    /// Returns whether the file covers everything through this seq.
    pub(crate) fn covers(&self, seq: u64) -> bool {
        seq <= self.through
    }

    /// Replaces the file, which then covers everything through `seq`. The table must have all of
    /// it.
    pub(crate) fn write(
        &mut self,
        io: &dyn Io,
        seal: Seal,
        seq: u64,
        oldest: u64,
    ) -> Result<(), StoreError> {
        self.forget();
        let before = self.known.len();
        self.known.retain(|_, known| known.time >= oldest);
        if self.known.len() < before {
            self.from = self.from.max(oldest);
        }
        // A loss from before the file was written stays a loss.
        let from = if self.complete { self.from } else { u64::MAX };
        let bytes = encode(&self.known, seq, from, seal);
        replace(io, NAME, &bytes, true).map_err(StoreError::io("write its publishers"))?;
        self.through = seq;
        Ok(())
    }
}

impl Known {
    /// Returns the seq after its last event.
    fn active(&self) -> u64 {
        let last = self.runs.back();
        last.map_or(0, |run| run.first.saturating_add(u64::from(run.events)))
    }
}

/// Reads the file: an empty table if there is none, and `None` if it is damaged.
fn read(io: &dyn Io, seal: Seal) -> Result<Option<Table>, OpenError> {
    let bytes = match io.open(NAME).and_then(|file| read_file(&*file, LIMIT)) {
        Ok(bytes) => bytes,
        Err(found) => {
            return match found.kind() {
                io::ErrorKind::NotFound => Ok(Some(Table::new())),
                io::ErrorKind::InvalidData => Ok(None),
                _ => Err(OpenError::io("read its publishers")(found)),
            };
        }
    };
    prologue(&bytes, MAGIC).check(NAME)?;
    Ok(decode(&bytes, seal))
}

fn encode(known: &HashMap<[u8; 16], Known>, through: u64, from: u64, seal: Seal) -> Vec<u8> {
    let mut out = Vec::new();
    put_prologue(&mut out, MAGIC);
    out.extend_from_slice(&through.to_le_bytes());
    out.extend_from_slice(&from.to_le_bytes());
    // Bounded by `max_publishers` here, and by LIMIT when it is read.
    out.extend_from_slice(&(known.len() as u32).to_le_bytes());
    for (id, known) in known {
        out.extend_from_slice(id);
        out.extend_from_slice(&known.last.to_le_bytes());
        out.extend_from_slice(&known.time.to_le_bytes());
        out.extend_from_slice(&[u8::from(known.certain), known.runs.len() as u8]);
        for run in &known.runs {
            run.put(&mut out);
            out.extend_from_slice(&run.first.to_le_bytes());
        }
    }
    let sum = seal.sum(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

fn decode(bytes: &[u8], seal: Seal) -> Option<Table> {
    let (checked, sum) = bytes.split_last_chunk::<4>()?;
    let known = prologue(checked, MAGIC) == Prologue::Known;
    if !known || u32::from_le_bytes(*sum) != seal.sum(checked) {
        return None;
    }
    let mut fields = Fields::new(checked.get(PROLOGUE..)?);
    let mut table = Table::new();
    (table.through, table.from) = (fields.u64()?, fields.u64()?);
    table.complete = table.from != u64::MAX;
    for _ in 0..fields.u32()? {
        let id = fields.array()?;
        let (last, time) = (fields.u64()?, fields.u64()?);
        let [certain, count] = fields.array()?;
        let mut runs = VecDeque::new();
        for _ in 0..count {
            let mut run = PublisherRun::read(&mut fields, id)?;
            run.first = fields.u64()?;
            runs.push_back(run);
        }
        let certain = certain == 1;
        table.latest = table.latest.max(time);
        table.known.insert(
            id,
            Known {
                last,
                time,
                certain,
                runs,
            },
        );
    }
    fields.is_empty().then_some(table)
}
