//! The results of cargo-mutants.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// The counts of one package.
pub(super) struct Outcomes {
    pub(super) caught: usize,
    pub(super) timeout: usize,
    pub(super) unviable: usize,
    /// Names without line and column.
    pub(super) missed: Vec<String>,
}

/// The head of a table of [`Outcomes::row`]s.
pub(super) const HEADER: &str =
    "package          viable  caught  missed  timeout  unviable  noticed";

impl Outcomes {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let json = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&json).context("cargo-mutants changed the format of outcomes.json")
    }

    fn parse(json: &str) -> Result<Self> {
        let found: Found = serde_json::from_str(json)?;
        let missed = found.outcomes.iter().filter_map(|outcome| {
            let is_missed = outcome.summary == "MissedMutant";
            outcome.name().filter(|_| is_missed).map(without_position)
        });
        Ok(Self {
            caught: found.caught,
            timeout: found.timeout,
            unviable: found.unviable,
            missed: missed.collect(),
        })
    }

    fn viable(&self) -> usize {
        self.caught + self.timeout + self.missed.len()
    }

    /// The percentage of viable mutants that were noticed; a timeout counts as noticed.
    pub(super) fn percent(&self) -> f64 {
        let noticed = self.caught + self.timeout;
        100.0 * noticed as f64 / self.viable().max(1) as f64
    }

    pub(super) fn row(&self, package: &str) -> String {
        format!(
            "{package:<16} {:>6}  {:>6}  {:>6}  {:>7}  {:>8}  {:>5.1} %",
            self.viable(),
            self.caught,
            self.missed.len(),
            self.timeout,
            self.unviable,
            self.percent(),
        )
    }
}

/// Shortens `src/a.rs:3:9: replace ...` to `src/a.rs: replace ...`, because lines move.
fn without_position(name: &str) -> String {
    let mut parts = name.splitn(4, ':');
    match (parts.next(), parts.nth(2)) {
        (Some(file), Some(change)) => format!("{file}:{change}"),
        _ => name.to_owned(),
    }
}

#[derive(Deserialize)]
struct Found {
    outcomes: Vec<Outcome>,
    caught: usize,
    timeout: usize,
    unviable: usize,
}

#[derive(Deserialize)]
struct Outcome {
    /// `"Baseline"`, or `{"Mutant": {"name": ...}}`.
    scenario: serde_json::Value,
    summary: String,
}

impl Outcome {
    fn name(&self) -> Option<&str> {
        self.scenario.get("Mutant")?.get("name")?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_and_survivors_named_without_their_line() {
        let json = r#"{
            "outcomes": [
                {"scenario": "Baseline", "summary": "Success"},
                {"scenario": {"Mutant": {"name": "src/a.rs:3:9: replace A::f -> u8 with 0"}}, "summary": "MissedMutant"},
                {"scenario": {"Mutant": {"name": "src/a.rs:4:9: replace A::g with ()"}}, "summary": "CaughtMutant"}
            ],
            "caught": 17, "timeout": 2, "unviable": 5, "missed": 1, "total_mutants": 25
        }"#;
        let outcomes = Outcomes::parse(json).unwrap();
        assert_eq!(outcomes.missed, ["src/a.rs: replace A::f -> u8 with 0"]);
        assert_eq!(outcomes.percent(), 95.0);
        assert_eq!(
            outcomes.row("qsse-topic"),
            "qsse-topic           20      17       1        2         5   95.0 %"
        );
    }
}
