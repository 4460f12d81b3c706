//! The table: medians, and how each candidate relates to ours in the same round.

use std::fmt;

use serde::Serialize;

use crate::candidates::Kind;
use crate::child::Figures;
use crate::data::{About, Set};

/// A heading, and where to find what stands below it.
type Column = (&'static str, fn(&Figures) -> f64);

/// What is told of each candidate.
const COLUMNS: [Column; 4] = [
    ("lookup ns", |figures| figures.lookup_ns),
    ("insert ns", |figures| figures.insert_ns),
    ("remove ns", |figures| figures.remove_ns),
    ("bytes", |figures| figures.bytes),
];

/// All candidates on one set of patterns.
#[derive(Serialize)]
pub(crate) struct Comparison {
    set: Set,
    patterns: usize,
    about: About,
    candidates: Vec<Kind>,
    /// By round, then by candidate.
    rounds: Vec<Vec<Figures>>,
}

impl Comparison {
    pub(crate) fn new(
        set: Set,
        patterns: usize,
        about: About,
        candidates: Vec<Kind>,
        rounds: Vec<Vec<Figures>>,
    ) -> Self {
        Self {
            set,
            patterns,
            about,
            candidates,
            rounds,
        }
    }
}

/// A table for people, which is also one for Markdown: the median, then in brackets how many
/// times as much as ours it is: the median of the rounds, the smallest and the largest.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = &self.rounds[0][0];
        writeln!(
            f,
            "\n{} patterns, {}: {:.1} segments and {:.1} bytes each; {:.2} matches a lookup; {} rounds\n",
            self.patterns,
            self.set,
            self.about.segments,
            self.about.bytes,
            first.found.0 as f64 / first.topics as f64,
            self.rounds.len(),
        )?;
        write!(f, "| |")?;
        for (name, _) in COLUMNS {
            write!(f, " {name} |")?;
        }
        writeln!(f, "\n|---|---|---|---|---|")?;
        for (at, kind) in self.candidates.iter().enumerate() {
            write!(f, "| {kind:5} |")?;
            for (_, figure) in COLUMNS {
                let (_, median, _) = spread(self.rounds.iter().map(|round| figure(&round[at])));
                let ratios = self
                    .rounds
                    .iter()
                    .map(|round| figure(&round[at]) / figure(&round[0]));
                let (least, ratio, most) = spread(ratios);
                write!(f, " {median:.0} ({ratio:.2}, {least:.2}-{most:.2}) |")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Least, median and most.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    (
        values[0],
        values[values.len() / 2],
        values[values.len() - 1],
    )
}
