//! Runs random programs of operations in a simulated world, and judges them with a model that knows
//! what must be true.
//!
//! A seed names a [`Program`]: subscriptions, publishes, tokens that allow more
//! or less than the one before, or are revoked, lost connections, partitions, restarts, kills with
//! torn writes, stores that are put back from a copy or damaged, disks that are slow, full or hang,
//! clock jumps. It runs on a simulated network and a paused clock, real servers and clients, the
//! store on files in memory; `cargo xtask sim` builds it with a runtime that runs ready tasks in an
//! order drawn from the seed. A failing program is made small and printed, with how to run it
//! again.

mod check;
mod generate;
mod model;
mod program;
mod publishing;
mod reading;
mod run;
mod shrink;
mod tripwire;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;

use program::Program;
use run::{Outcome, PANICS};

/// The longest that a run may take on the wall's clock.
const STUCK: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs this program instead.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Goes on after a failure, and only counts the others.
    #[arg(long)]
    keep_going: bool,
    /// Most runs for making a failing program small.
    #[arg(long, default_value_t = 400)]
    shrink: usize,
    /// Tells everything that happens.
    #[arg(long)]
    verbose: bool,
    /// Runs each seed a second time and compares.
    #[arg(long)]
    twice: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    VERBOSE.store(args.verbose, Ordering::SeqCst);
    catch_panics();
    watch_for_stuck();
    match judge(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True if everything was as it must be.
fn judge(args: &Args) -> anyhow::Result<bool> {
    if let Some(path) = &args.program {
        let program = Program::parse(&std::fs::read_to_string(path)?)?;
        let outcome = try_run(&program);
        println!("{outcome:#?}");
        return Ok(outcome.faults.is_empty());
    }
    let begun = Instant::now();
    let mut totals = Totals::default();
    for seed in args.seed..args.seed.saturating_add(args.seeds) {
        let program = generate::program(seed);
        if args.verbose {
            println!("{}", program.to_text());
        }
        let mut outcome = try_run(&program);
        if args.twice && try_run(&program).trace != outcome.trace {
            outcome.faults.push("a second run went another way".into());
        }
        totals.add(&program, &outcome);
        if !outcome.faults.is_empty() {
            totals.failed += 1;
            println!("seed {seed} fails: {}", outcome.faults[0]);
            if !args.keep_going {
                report(seed, &program, &outcome, args.shrink);
                break;
            }
        }
        if totals.seeds % 500 == 0 {
            totals.print(begun);
        }
    }
    totals.print(begun);
    Ok(totals.failed == 0)
}

/// What all runs together were.
#[derive(Default)]
struct Totals {
    seeds: u64,
    failed: u64,
    operations: u64,
    publishes: u64,
    seen: u64,
    news: u64,
    kills: u64,
    simulated: Duration,
}

impl Totals {
    fn add(&mut self, program: &Program, outcome: &Outcome) {
        self.seeds += 1;
        self.operations += program.steps.len() as u64;
        self.publishes += outcome.publishes;
        self.seen += outcome.seen;
        self.news += outcome.news;
        self.kills += outcome.kills;
        self.simulated += outcome.took;
    }

    fn print(&self, begun: Instant) {
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "{} seeds in {seconds:.0} s ({:.0}/s), {} failed: {} operations, {} kills, {} publishes, {} events seen, {} gaps and resets, {} simulated hours",
            self.seeds,
            self.seeds as f64 / seconds,
            self.failed,
            self.operations,
            self.kills,
            self.publishes,
            self.seen,
            self.news,
            self.simulated.as_secs() / 3_600,
        );
    }
}

/// Runs a program; a panic of anything in it is a fault of it.
fn try_run(program: &Program) -> Outcome {
    *CURRENT.lock().expect("nobody panics holding it") = program.to_text();
    RUNS.fetch_add(1, Ordering::SeqCst);
    PANICS.take();
    let run = std::panic::AssertUnwindSafe(|| run::run(program));
    let mut outcome = std::panic::catch_unwind(run).unwrap_or_default();
    outcome.faults.extend(PANICS.take());
    outcome
}

/// Makes a failing program small and prints it.
fn report(seed: u64, program: &Program, outcome: &Outcome, tries: usize) {
    println!("everything that is wrong:");
    for fault in &outcome.faults {
        println!("  - {fault}");
    }
    let small = shrink::shrink(program, tries, |candidate| {
        !try_run(candidate).faults.is_empty()
    });
    let outcome = try_run(&small);
    println!(
        "\nreduced from {} to {} operations, it fails with:",
        program.steps.len(),
        small.steps.len()
    );
    for fault in &outcome.faults {
        println!("  - {fault}");
    }
    println!(
        "\nto run it again:  cargo xtask sim --seeds 1 --seed {seed}\nthe reduced one, to be kept in a file for `cargo xtask sim --program FILE`:\n\n{}",
        small.to_text()
    );
}

/// Panics in tasks are kept by the runtime where nobody looks.
fn catch_panics() {
    std::panic::set_hook(Box::new(|info| {
        PANICS.with(|panics| panics.borrow_mut().push(format!("a panic: {info}")));
    }));
}

/// Whether everything that happens is told.
static VERBOSE: AtomicBool = AtomicBool::new(false);

/// Tells what happens, if that is wanted.
fn tell(what: impl FnOnce() -> String) {
    if VERBOSE.load(Ordering::Relaxed) {
        println!("{}", what());
    }
}

/// What runs now.
static CURRENT: Mutex<String> = Mutex::new(String::new());
static RUNS: AtomicU64 = AtomicU64::new(0);

/// A run whose clock stands still is one that spins: it is shown, and the process ended.
fn watch_for_stuck() {
    std::thread::spawn(|| {
        let mut last = (0, Instant::now());
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let runs = RUNS.load(Ordering::SeqCst);
            if last.0 != runs {
                last = (runs, Instant::now());
            } else if last.1.elapsed() > STUCK && runs > 0 {
                let current = CURRENT.lock().expect("nobody panics holding it");
                println!("a run does not end:\n\n{}", *current);
                std::process::exit(2);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_seeds_hold() {
        catch_panics();
        for seed in 1..=40 {
            let outcome = try_run(&generate::program(seed));
            assert!(
                outcome.faults.is_empty(),
                "seed {seed}: {:?}",
                outcome.faults
            );
        }
    }

    // What a channel wakes first is drawn from the seed only then: `cargo xtask sim` sets it.
    #[cfg(tokio_unstable)]
    #[test]
    fn a_seed_replays_the_same_run() {
        for seed in 1..=20 {
            let program = generate::program(seed);
            let (one, two) = (try_run(&program), try_run(&program));
            assert_eq!(one.trace, two.trace, "seed {seed}");
        }
        let other = try_run(&generate::program(21)).trace;
        assert_ne!(try_run(&generate::program(22)).trace, other);
    }

    #[test]
    fn a_program_survives_its_text() {
        for seed in 1..=200 {
            let program = generate::program(seed);
            assert_eq!(Program::parse(&program.to_text()).unwrap(), program);
        }
    }

    #[test]
    fn shrinking_keeps_what_is_needed() {
        let program = generate::program(5);
        let needed = program.steps[3].clone();
        let small = shrink::shrink(&program, 1_000, |candidate| {
            candidate.steps.iter().any(|step| step.op == needed.op)
        });
        assert_eq!(small.steps.len(), 1);
    }
}
