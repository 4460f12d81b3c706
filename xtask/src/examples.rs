//! `cargo xtask examples`: runs every example and `qsse demo`. Each has to print an expected line
//! and to exit with success, some after an interrupt.

pub(crate) mod process;

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};

use crate::{artifacts, workspace::Metadata};
use process::Program;

/// Arguments of `examples`.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Run only this one (`demo` is one too)
    name: Option<String>,
}

/// How to run an example, and how to tell that it works.
struct Example {
    name: &'static str,
    arguments: &'static [&'static str],
    /// A part of a line that the example prints.
    prints: &'static str,
    ends: Ends,
}

enum Ends {
    /// By itself.
    Alone,
    /// On an interrupt, after it has printed its line.
    Interrupted,
}

const EXAMPLES: &[Example] = &[
    Example {
        name: "simple",
        arguments: &[],
        prints: "people",
        ends: Ends::Alone,
    },
    Example {
        name: "topic_patterns",
        arguments: &[],
        prints: "ride",
        ends: Ends::Alone,
    },
    Example {
        name: "multiple_generators",
        arguments: &["--seconds", "2"],
        prints: "topic",
        ends: Ends::Alone,
    },
    Example {
        name: "web",
        arguments: &[],
        prints: "http://",
        ends: Ends::Interrupted,
    },
    Example {
        name: "topic_matcher",
        arguments: &[],
        prints: "ride",
        ends: Ends::Alone,
    },
];

/// What a newcomer runs first.
const DEMO: Example = Example {
    name: "demo",
    arguments: &["demo"],
    prints: "events",
    ends: Ends::Alone,
};

/// The longest an example may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the examples one after the other, then the demo.
pub(crate) fn run(args: &Args) -> Result<()> {
    let is_chosen = |name: &str| args.name.as_deref().is_none_or(|chosen| chosen == name);
    let metadata = Metadata::read(true)?;
    let (all, topic) = (
        metadata.member("qsse-examples")?,
        metadata.member("qsse-topic")?,
    );
    let mut ran = 0;
    for target in [all, topic]
        .into_iter()
        .flat_map(|package| &package.targets)
        .filter(|target| is_chosen(&target.name))
    {
        let is_program = |kind: &&String| *kind == "example" || *kind == "bin";
        let Some(kind) = target.kind.iter().find(is_program) else {
            continue;
        };
        let example = EXAMPLES.iter().find(|example| example.name == target.name);
        let example = example.with_context(|| {
            format!(
                "xtask/src/examples.rs does not say how to run {}",
                target.name
            )
        })?;
        check(example, &artifacts::program(kind, example.name)?)?;
        ran += 1;
    }
    let wanted = EXAMPLES
        .iter()
        .filter(|example| is_chosen(example.name))
        .count();
    if ran < wanted {
        bail!("{ran} of {wanted} examples are there");
    }
    if is_chosen(DEMO.name) {
        check(&DEMO, &artifacts::program("bin", "qsse")?)?;
        ran += 1;
    }
    if ran == 0 {
        bail!(
            "there is no example {}",
            args.name.as_deref().unwrap_or_default()
        );
    }
    Ok(())
}

/// Runs an example. An error names it.
fn check(example: &Example, path: &Path) -> Result<()> {
    println!("$ {} {}", example.name, example.arguments.join(" "));
    ends_well(example, path).with_context(|| format!("example {}", example.name))
}

fn ends_well(example: &Example, path: &Path) -> Result<()> {
    let mut program = Program::start(path, example.arguments, LIMIT)?;
    if !program.wait_for_line(example.prints) {
        program.stop();
        bail!(
            "it ended, or {LIMIT:?} passed, without a line with {:?}",
            example.prints
        );
    }
    if let Ends::Interrupted = example.ends {
        program.interrupt()?;
    }
    let status = program
        .wait()?
        .with_context(|| format!("still running after {LIMIT:?}"))?;
    if !status.success() {
        bail!("it ended with {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(text: &'static str, script: &'static [&'static str]) -> Result<()> {
        let example = Example {
            name: "echo",
            arguments: script,
            prints: text,
            ends: Ends::Alone,
        };
        check(&example, Path::new("/bin/sh"))
    }

    #[test]
    fn an_example_prints_its_line_and_ends_well() {
        assert!(echo("hello", &["-c", "echo hello world"]).is_ok());
        assert!(echo("goodbye", &["-c", "echo hello world"]).is_err());
        let error = echo("hello", &["-c", "echo hello; exit 1"]).expect_err("a status of 1");
        assert!(format!("{error:#}").contains("exit status: 1"), "{error:#}");
    }
}
