//! [`Report`]: what an attack cost, and what of it the server does not withstand.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::metrics;
use crate::probe::Seen;
use crate::setup::MIB;

/// What memory may grow by beyond the bound: a part of it that the allocator leaves unused, and
/// the connections themselves.
const ALLOWANCE_PART: u64 = 4;
const ALLOWANCE_BYTES: u64 = 32 * MIB;

/// The targets for times: at most so many times what they are without an attack.
const LATENCY_TARGET: f64 = 5.0;
const CONNECT_TARGET: f64 = 2.0;

/// Less than this is no delay: the quiet times are taken to be at least that, in milliseconds.
const LEAST_MS: f64 = 1.0;

/// The resident memory of the server in bytes, and what it says itself.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Memory {
    /// At its start.
    pub(crate) empty: u64,
    /// Filled, before the attack.
    pub(crate) before: u64,
    /// The most during the attack.
    pub(crate) peak: u64,
    /// After the rest.
    pub(crate) after: u64,
    /// What docs/architecture.md allows it to grow by.
    pub(crate) bound: u64,
    /// The most that the server reported for its history and its feeds.
    pub(crate) history: u64,
    pub(crate) feeds: u64,
    /// The most that it counted against its budget.
    pub(crate) counted: u64,
    /// Bytes a second in the second half of the attack.
    pub(crate) slope: f64,
}

impl Memory {
    /// Returns how much it has grown since its start, at most.
    fn grown(&self) -> u64 {
        self.peak.saturating_sub(self.empty)
    }

    /// Returns how much it may grow.
    fn allowed(&self) -> u64 {
        self.bound + self.bound / ALLOWANCE_PART + ALLOWANCE_BYTES
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  memory    {} MiB empty, {} before, {} at most, {} after; grown by {} of {} (bound {})",
            mib(self.empty),
            mib(self.before),
            mib(self.peak),
            mib(self.after),
            mib(self.grown()),
            mib(self.allowed()),
            mib(self.bound)
        )?;
        write!(
            f,
            "  server    history {} MiB, feeds {}, all that it counts {} at most; slope {:.1} KiB/s",
            mib(self.history),
            mib(self.feeds),
            mib(self.counted),
            self.slope / 1024.0
        )
    }
}

/// What an attack cost.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) seconds: f64,
    /// What the attacker did, what was refused, and how often it was cut off.
    pub(crate) counts: [u64; 3],
    pub(crate) memory: Memory,
    /// Processor time of the server during the attack, in cores.
    pub(crate) cores: f64,
    /// What honest clients saw without the attack, and beside it.
    pub(crate) quiet: Seen,
    pub(crate) seen: Seen,
    /// Metrics that rose more than the honest clients explain.
    pub(crate) risen: BTreeMap<String, f64>,
    /// What the server does not withstand.
    pub(crate) failures: Vec<String>,
    /// Times beyond their targets.
    pub(crate) missed: Vec<String>,
}

impl Report {
    /// Fills in the failures and the missed targets.
    pub(crate) fn judge(&mut self, shown_by: &[&str], still_runs: bool) {
        let mut failures = Vec::new();
        if !still_runs {
            failures.push("the server has ended".to_owned());
        }
        if self.seen.refusals() > 0 {
            let refused = self.seen.refused.iter();
            let refused: Vec<_> = refused
                .map(|(error, count)| format!("{count} x {error}"))
                .collect();
            failures.push(format!(
                "honest clients were refused: {}",
                refused.join("; ")
            ));
        }
        if self.seen.lost() > 0 {
            failures.push(format!("honest events were lost: {}", self.seen.lost()));
        }
        let (grown, allowed) = (self.memory.grown(), self.memory.allowed());
        if grown > allowed {
            failures.push(format!(
                "the memory grew by {} MiB, and {} are allowed",
                mib(grown),
                mib(allowed)
            ));
        }
        if !metrics::shows(&self.risen, shown_by) {
            failures.push(format!("none of these metrics rose: {shown_by:?}"));
        }
        self.failures = failures;
        if self.latency() > LATENCY_TARGET {
            self.missed
                .push(format!("the p99 of events is {:.1} x", self.latency()));
        }
        if self.connect() > CONNECT_TARGET {
            self.missed
                .push(format!("the p50 of connects is {:.1} x", self.connect()));
        }
    }

    /// Returns the p99 of events under attack, as a multiple of the quiet one.
    fn latency(&self) -> f64 {
        self.seen.events.p99 / self.quiet.events.p99.max(LEAST_MS)
    }

    /// Returns the p50 of connects under attack, as a multiple of the quiet one.
    fn connect(&self) -> f64 {
        self.seen.connects.p50 / self.quiet.connects.p50.max(LEAST_MS)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            memory,
            quiet,
            seen,
            ..
        } = self;
        let [done, refused, cut_off] = self.counts;
        writeln!(f, "{}: {}", self.name, self.about)?;
        writeln!(
            f,
            "  did       {done} {}, {refused} refused, {cut_off} connections cut off, in {:.0} s",
            self.unit, self.seconds
        )?;
        writeln!(f, "{memory}; {:.2} cores", self.cores)?;
        writeln!(
            f,
            "  events    {} of {}; {} quiet; {} under attack: {:.1} x (target {LATENCY_TARGET})",
            seen.received,
            seen.published,
            quiet.events,
            seen.events,
            self.latency()
        )?;
        writeln!(
            f,
            "  connects  {}, {} refused; {} quiet; {} under attack: {:.1} x (target {CONNECT_TARGET})",
            seen.connects.count,
            seen.refusals(),
            quiet.connects,
            seen.connects,
            self.connect()
        )?;
        let risen = self.risen.iter();
        let risen: Vec<_> = risen
            .map(|(name, rise)| format!("{name} +{rise:.0}"))
            .collect();
        writeln!(f, "  metrics   {}", risen.join(", "))?;
        for missed in &self.missed {
            writeln!(f, "  slow: {missed}")?;
        }
        for failure in &self.failures {
            writeln!(f, "  FAILED: {failure}")?;
        }
        if self.failures.is_empty() {
            writeln!(f, "  withstood")?;
        }
        Ok(())
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(MIB)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spread::Spread;

    fn report() -> Report {
        let spread = |p50, p99| Spread {
            count: 9,
            p50,
            p99,
            max: p99,
        };
        let seen = Seen {
            published: 5,
            received: 5,
            events: spread(1.0, 2.0),
            connects: spread(3.0, 4.0),
            ..Seen::default()
        };
        Report {
            name: "a",
            about: "b",
            unit: "c",
            seconds: 1.0,
            counts: [1, 0, 0],
            memory: Memory {
                empty: 10 * MIB,
                before: 10 * MIB,
                peak: 142 * MIB,
                after: 10 * MIB,
                bound: 80 * MIB,
                history: 0,
                feeds: 0,
                counted: 0,
                slope: 0.0,
            },
            cores: 0.1,
            quiet: seen.clone(),
            seen,
            risen: [("feeds".to_owned(), 3.0)].into(),
            failures: Vec::new(),
            missed: Vec::new(),
        }
    }

    fn failures(change: impl FnOnce(&mut Report)) -> Vec<String> {
        let mut report = report();
        change(&mut report);
        report.judge(&["feeds"], true);
        report.failures
    }

    #[test]
    fn a_server_that_withstands_has_no_failures() {
        assert_eq!(failures(|_| {}), [""; 0]);
        assert!(report().to_string().ends_with("  withstood\n"));
    }

    type Change = fn(&mut Report);

    #[test]
    fn each_count_decides() {
        let changes: [(&str, Change); 4] = [
            ("lost: 1", |report| report.seen.received = 4),
            ("1 x late", |report| {
                report.seen.refused.insert("late".into(), 1);
            }),
            ("133 MiB, and 132 are", |report| report.memory.peak += 1),
            ("none of these metrics", |report| report.risen.clear()),
        ];
        for (expected, change) in changes {
            let failures = failures(change);
            assert_eq!(failures.len(), 1, "{failures:?}");
            assert!(failures[0].contains(expected), "{failures:?}");
        }
        let mut report = report();
        report.judge(&["feeds"], false);
        assert_eq!(report.failures, ["the server has ended"]);
    }

    #[test]
    fn times_only_miss_their_targets() {
        let mut report = report();
        report.seen.events.p99 = 10.1;
        report.seen.connects.p50 = 6.1;
        report.judge(&["feeds"], true);
        assert_eq!(report.failures, [""; 0]);
        assert_eq!(report.missed.len(), 2);
    }
}
