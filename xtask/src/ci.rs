//! `cargo xtask ci`: every check, the time each takes, and at the end which failed.

mod package;
mod steps;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use steps::{STEPS, Step};

/// Arguments of `ci`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only this step (repeatable); `--list` names them
    #[arg(long = "step", value_name = "NAME")]
    steps: Vec<String>,
    /// Stop at the first step that fails
    #[arg(long)]
    fail_fast: bool,
    /// List the steps and run none
    #[arg(long)]
    list: bool,
}

/// Runs the steps that `args` choose, or lists all.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        for step in STEPS {
            println!("{:<10} {}", step.name, step.about);
        }
        return Ok(());
    }
    run_steps(&args.steps, args.fail_fast)
}

/// Runs the steps with these names, or all. Fails, after having run them all, when one has failed.
pub(crate) fn run_steps(names: &[String], fail_fast: bool) -> Result<()> {
    let chosen = choose(names)?;
    let mut outcomes = Vec::new();
    for (index, step) in chosen.iter().enumerate() {
        println!(
            "\n=== {} of {}: {} · {}",
            index + 1,
            chosen.len(),
            step.name,
            step.about
        );
        let start = Instant::now();
        let result = (step.run)();
        if let Err(error) = &result {
            println!("!!! {} failed: {error:#}", step.name);
        }
        let failed = result.is_err();
        outcomes.push(Outcome {
            name: step.name,
            time: start.elapsed(),
            failed,
        });
        if failed && fail_fast {
            break;
        }
    }
    conclude(&outcomes, chosen.len())
}

/// Whether each name is that of a step.
#[cfg(test)]
pub(crate) fn are_steps(names: &[String]) -> bool {
    choose(names).is_ok()
}

struct Outcome {
    name: &'static str,
    time: Duration,
    failed: bool,
}

fn choose(names: &[String]) -> Result<Vec<&'static Step>> {
    if names.is_empty() {
        return Ok(STEPS.iter().collect());
    }
    let find = |name: &String| {
        STEPS
            .iter()
            .find(|step| step.name == name)
            .with_context(|| {
                format!("there is no step {name:?}; `cargo xtask ci --list` names those there are")
            })
    };
    names.iter().map(find).collect()
}

fn conclude(outcomes: &[Outcome], chosen: usize) -> Result<()> {
    println!("\n{}", table(outcomes));
    let failed: Vec<_> = outcomes
        .iter()
        .filter(|o| o.failed)
        .map(|o| o.name)
        .collect();
    if !failed.is_empty() {
        let again: String = failed
            .iter()
            .map(|name| format!(" --step {name}"))
            .collect();
        bail!(
            "{} of {chosen} steps FAILED: {}; again with `cargo xtask ci{again}`",
            failed.len(),
            failed.join(", ")
        );
    }
    println!("all {chosen} steps passed");
    Ok(())
}

fn table(outcomes: &[Outcome]) -> String {
    let row = |name: &str, time: Duration, result: &str| {
        let seconds = time.as_secs_f64();
        let minutes = (seconds / 60.0) as u64;
        let time = format!("{minutes}:{:04.1}", seconds - minutes as f64 * 60.0);
        format!("{name:<10} {time:>8}  {result}\n")
    };
    let steps = outcomes.iter().map(|outcome| {
        row(
            outcome.name,
            outcome.time,
            if outcome.failed { "FAILED" } else { "ok" },
        )
    });
    let total = row(
        "total",
        outcomes.iter().map(|outcome| outcome.time).sum(),
        "",
    );
    steps.chain([total]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &'static str, seconds: f64, failed: bool) -> Outcome {
        Outcome {
            name,
            time: Duration::from_secs_f64(seconds),
            failed,
        }
    }

    #[test]
    fn the_table_shows_each_time_and_the_sum() {
        let table = table(&[outcome("fmt", 1.25, false), outcome("test", 61.0, true)]);
        assert_eq!(
            table.lines().map(str::trim_end).collect::<Vec<_>>(),
            [
                "fmt          0:01.2  ok",
                "test         1:01.0  FAILED",
                "total        1:02.2",
            ]
        );
    }

    #[test]
    fn a_failed_step_fails_the_whole_and_is_named() {
        let outcomes = [outcome("fmt", 1.0, false), outcome("test", 1.0, true)];
        let error = conclude(&outcomes, 2).expect_err("one failed").to_string();
        assert!(
            error.contains("1 of 2") && error.contains("--step test"),
            "{error}"
        );
        assert!(conclude(&outcomes[..1], 1).is_ok());
    }

    #[test]
    fn steps_are_found_by_name_and_names_are_distinct() {
        for step in STEPS {
            let found = choose(&[step.name.to_owned()]).expect("it is there");
            assert_eq!(found.len(), 1);
            assert!(
                std::ptr::eq(found[0], step),
                "two steps are called {}",
                step.name
            );
        }
        assert_eq!(choose(&[]).expect("all").len(), STEPS.len());
        let error = choose(&["nonsense".to_owned()])
            .err()
            .expect("no such step");
        assert!(error.to_string().contains("--list"));
    }
}
