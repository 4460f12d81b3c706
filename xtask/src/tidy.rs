//! `cargo xtask tidy`: checks the project's own rules. The message of each says what to do.
//!
//! A check is a function from its input to [`Problem`]s, so that its tests can pass a few lines.

mod clauses;
mod code;
mod duplicates;
mod functions;
mod layers;
mod licences;
mod links;
mod manifests;
mod rings;
mod rules;
mod shape;
mod wide;

use std::fmt;

use anyhow::{Result, bail};

use crate::workspace::{self, File, Metadata};

/// Arguments of `tidy`.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Lists only the longest and deepest functions, each with the reason why it stays
    #[arg(long)]
    functions: bool,
    /// Lists only rings of files that import each other, and imports through a crate's root
    #[arg(long)]
    rings: bool,
    /// Lists only the lines of comments that are too wide
    #[arg(long)]
    wide: bool,
}

/// Runs all checks. Shows every problem, and fails if there is one.
pub(crate) fn run(args: &Args) -> Result<()> {
    let rust = workspace::files(&["rs"])?;
    if args.functions {
        functions::list(&rust)
            .iter()
            .for_each(|long| println!("{long}"));
        return Ok(());
    }
    if args.rings {
        show(&rings::check(&rust));
        return Ok(());
    }
    if args.wide {
        show(&wide::list(&rust));
        return Ok(());
    }
    let metadata = Metadata::read(false)?;
    let text = workspace::files(&["md", "rs", "sh", "toml", "yml"])?;

    let mut problems = Vec::new();
    for file in &rust {
        problems.extend(shape::check(file));
        problems.extend(rules::check(file));
    }
    problems.extend(shape::stale_exemptions(&rust));
    problems.extend(functions::stale_reasons(&rust));
    problems.extend(rings::check(&rust));
    problems.extend(text.iter().flat_map(rules::check_words));
    problems.extend(clauses::check(&text, &rust));
    let root = workspace::root();
    problems.extend(links::check(&text, |path| root.join(path).exists()));
    problems.extend(layers::check(&metadata));
    problems.extend(manifests::check(&metadata)?);
    problems.extend(licences::check(&metadata.packages));
    problems.extend(duplicates::check()?);

    note(&rust);
    show(&problems);
    match problems.len() {
        0 => {
            println!(
                "tidy: {} Rust files, {} packages",
                rust.len(),
                metadata.packages.len()
            );
            Ok(())
        }
        count => bail!(
            "tidy found {count} problem{}",
            if count == 1 { "" } else { "s" }
        ),
    }
}

fn show(problems: &[Problem]) {
    problems.iter().for_each(|problem| println!("{problem}"));
}

/// Prints notes, which do not make the task fail.
fn note(rust: &[File]) {
    let functions = functions::list(rust);
    let open = functions.iter().filter(|long| long.is_open()).count();
    if open > 0 {
        println!("note: {open} functions are long or deep; see `cargo xtask tidy --functions`");
    }
    let wide = wide::list(rust).len();
    if wide > 0 {
        println!("note: {wide} lines of comments are wide; see `cargo xtask tidy --wide`");
    }
}

/// A violation of a rule.
#[derive(Debug, PartialEq)]
struct Problem {
    /// A path, with or without a line, or a package.
    place: String,
    /// What is wrong and what to do about it.
    message: String,
}

impl Problem {
    fn at(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            message: message.into(),
        }
    }

    /// Returns a problem in a line, counted from 1.
    fn at_line(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self::at(format!("{path}:{line}"), message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}
