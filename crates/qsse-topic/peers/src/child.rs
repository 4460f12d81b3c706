//! One measurement: build it up, look things up, take it down.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use crate::candidates::{Bare, Candidate, Found, Kind, Mqtt, Nats, Ours, Zenoh};
use crate::data::shuffle;

/// All topics are looked up so often, after a first time that is not counted.
const PASSES: usize = 3;

/// So many topics are looked up first, for a candidate whose time grows with the patterns.
const SAMPLE: usize = 500;

/// A candidate that takes longer for the sample is asked for nothing beyond it.
const LONGEST_SAMPLE: Duration = Duration::from_millis(20);

/// What one candidate took, per operation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Nanoseconds to insert a pattern, from its text, while the map grows.
    pub(crate) insert_ns: f64,
    /// Nanoseconds to look up a topic and add up all values found.
    pub(crate) lookup_ns: f64,
    /// Nanoseconds to remove a pattern, by its text, until nothing is left.
    pub(crate) remove_ns: f64,
    /// Growth of resident memory by inserting, per pattern.
    pub(crate) bytes: f64,
    /// What the topics of the sample have found.
    pub(crate) sample: Found,
    /// How many topics were looked up.
    pub(crate) topics: usize,
    /// What they have found.
    pub(crate) found: Found,
}

/// Measures the candidate of this name with the files in `folder`.
pub(crate) fn run(kind: &str, folder: &Path) -> Result<Figures> {
    let kind = Kind::from_str(kind, true).map_err(anyhow::Error::msg)?;
    match kind {
        Kind::Ours => measure::<Ours>(folder),
        Kind::Bare => measure::<Bare>(folder),
        Kind::Zenoh => measure::<Zenoh>(folder),
        Kind::Nats => measure::<Nats>(folder),
        Kind::Mqtt => measure::<Mqtt>(folder),
    }
}

fn measure<C: Candidate>(folder: &Path) -> Result<Figures> {
    let mut patterns = read::<C>(&folder.join("patterns"))?;
    let texts = read::<C>(&folder.join("topics"))?;
    let mut candidate = C::default();

    let before = resident_bytes()?;
    let start = Instant::now();
    for (pattern, value) in patterns.iter().zip(0..) {
        candidate.insert(pattern, value);
    }
    let insert = start.elapsed();
    let after = resident_bytes()?;

    let topics: Vec<C::Topic> = texts.iter().map(|text| C::topic(text)).collect();
    let (sample, time) = lookup(&candidate, &topics[..SAMPLE]);
    let topics = if time < LONGEST_SAMPLE {
        &topics
    } else {
        &topics[..SAMPLE]
    };
    let (found, _) = lookup(&candidate, topics);
    let mut passes: Vec<Duration> = (0..PASSES).map(|_| lookup(&candidate, topics).1).collect();
    passes.sort();

    shuffle(&mut patterns);
    let start = Instant::now();
    let removed = patterns
        .iter()
        .filter(|pattern| candidate.remove(pattern))
        .count();
    let remove = start.elapsed();
    ensure!(removed == patterns.len(), "a pattern was not there");

    let count = patterns.len() as f64;
    Ok(Figures {
        insert_ns: insert.as_nanos() as f64 / count,
        lookup_ns: passes[PASSES / 2].as_nanos() as f64 / topics.len() as f64,
        remove_ns: remove.as_nanos() as f64 / count,
        bytes: after.saturating_sub(before) as f64 / count,
        sample,
        topics: topics.len(),
        found,
    })
}

/// Looks all of them up once: what was found, and how long it took.
fn lookup<C: Candidate>(candidate: &C, topics: &[C::Topic]) -> (Found, Duration) {
    let mut found = Found::default();
    let start = Instant::now();
    for topic in topics {
        candidate.lookup(topic, &mut found);
    }
    (found, start.elapsed())
}

/// The lines of a file as the candidate writes them.
fn read<C: Candidate>(path: &Path) -> Result<Vec<Box<str>>> {
    let text = std::fs::read_to_string(path)?;
    let mut lines = Vec::with_capacity(text.lines().count());
    lines.extend(text.lines().map(|line| C::translate(line).into()));
    Ok(lines)
}

/// The memory that this process has resident, in pages of 4 KiB.
fn resident_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/statm").context("this needs Linux")?;
    let pages = status.split(' ').nth(1).context("statm has fields")?;
    Ok(pages.parse::<u64>()? * 4096)
}
