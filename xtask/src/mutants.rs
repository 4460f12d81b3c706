//! `cargo xtask mutants`: changes the code line by line with cargo-mutants, and reports each change
//! that no test notices.
//!
//! It works on a copy below `target`, which is kept, so that a later run builds only what changed.
//! A mutant that survives has to be listed in `docs/mutants.md` with the reason why it does no
//! harm.

mod copy;
mod outcomes;
mod survivors;

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{self, Shown, program},
    workspace,
};
use outcomes::Outcomes;
use survivors::Survivors;

/// Arguments of `mutants`.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Only this package (repeatable); without it, all that have a floor
    #[arg(long = "package", value_name = "NAME")]
    packages: Vec<String>,
    /// Only every N-th mutant, beginning with the K-th: `1/10` to `10/10` are all of them
    #[arg(long, value_name = "K/N")]
    slice: Option<Slice>,
    /// Only lines that changed since this commit
    #[arg(long, value_name = "REV")]
    in_diff: Option<String>,
    /// Only about this many mutants of each package, spread evenly
    #[arg(long, value_name = "COUNT")]
    at_most: Option<usize>,
    /// For cargo-mutants: `--file GLOB`, `--re REGEX`, ...
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Every N-th mutant, from the K-th on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slice {
    number: usize,
    of: usize,
}

/// A package whose tests are judged.
struct Judged {
    name: &'static str,
    /// The percentage of viable mutants that tests have to notice.
    floor: f64,
    /// Other packages whose tests cover it.
    covered_by: &'static [&'static str],
    /// Whether its tests are quick enough for ci, which runs them for each mutant.
    is_quick: bool,
}

/// The judged packages. Server and client are also covered by the tests that need both, and the
/// server's part for HTTP by those of `qsse-http`.
const JUDGED: [Judged; 7] = [
    quick("qsse-topic", 95.0),
    quick("qsse-proto", 95.0),
    quick("qsse-log", 95.0),
    judged("qsse-store", 95.0, &[]),
    judged("qsse-transport", 90.0, &[]),
    judged("qsse-server", 90.0, &["qsse-testing", "qsse-http"]),
    judged("qsse-client", 90.0, &["qsse-testing"]),
];

const fn judged(name: &'static str, floor: f64, covered_by: &'static [&'static str]) -> Judged {
    Judged {
        name,
        floor,
        covered_by,
        is_quick: false,
    }
}

/// One whose tests take seconds.
const fn quick(name: &'static str, floor: f64) -> Judged {
    Judged {
        is_quick: true,
        ..judged(name, floor, &[])
    }
}

/// The number of mutants of a quick package that ci tests: about a minute.
const SAMPLE: usize = 3;

/// Runs cargo-mutants. Fails if a survivor is not listed, or if a whole package is below its floor.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !is_installed() {
        bail!("cargo-mutants is not installed: `cargo install cargo-mutants --locked`");
    }
    let packages = choose(&args.packages)?;
    let survivors = Survivors::read()?;
    let mut problems = Vec::new();
    let mut table = Vec::new();
    let tree = copy::refresh()?;
    for package in packages {
        let Some(outcomes) = test(package, args, &tree)? else {
            println!("{}: no mutants here", package.name);
            continue;
        };
        table.push(outcomes.row(package.name));
        problems.extend(judge(package, &outcomes, &survivors, args.is_whole()));
    }
    println!("\n{}", outcomes::HEADER);
    table.iter().for_each(|row| println!("{row}"));
    match problems.len() {
        0 => Ok(()),
        _ => bail!("{}", problems.join("\n")),
    }
}

/// Tests a few mutants of the changed lines, in the packages with quick tests and a section in
/// `docs/mutants.md`. This is the step of ci.
///
/// Skips itself, with a message, without cargo-mutants or an earlier commit.
pub(crate) fn sample() -> Result<()> {
    if !is_installed() {
        println!("skipped: cargo-mutants is not installed: `cargo install cargo-mutants --locked`");
        return Ok(());
    }
    let Some(base) = base() else {
        println!("skipped: there is no earlier commit to compare with");
        return Ok(());
    };
    let mut packages = Survivors::read()?.packages();
    packages.retain(|name| {
        JUDGED
            .iter()
            .any(|package| package.is_quick && package.name == name)
    });
    if packages.is_empty() {
        println!(
            "skipped: {} has no section of a package with quick tests",
            survivors::PATH
        );
        return Ok(());
    }
    run(&Args {
        packages,
        in_diff: Some(base),
        at_most: Some(SAMPLE),
        ..Args::default()
    })
}

/// Returns the base of the change: where it left the main branch, or else the commit before.
fn base() -> Option<String> {
    let rev = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(workspace::root())
            .args(arguments)
            .output()
            .ok()?;
        let rev = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !rev.is_empty()).then_some(rev)
    };
    let head = rev(&["rev-parse", "HEAD"])?;
    let left = rev(&["merge-base", "HEAD", "origin/HEAD"]).filter(|left| *left != head);
    left.or_else(|| rev(&["rev-parse", "--verify", "--quiet", "HEAD~1"]))
}

fn is_installed() -> bool {
    let version = Command::new("cargo")
        .args(["mutants", "--version"])
        .output();
    version.is_ok_and(|output| output.status.success())
}

fn choose(names: &[String]) -> Result<Vec<&'static Judged>> {
    if names.is_empty() {
        return Ok(JUDGED.iter().collect());
    }
    let find = |name: &String| {
        let all = JUDGED.map(|package| package.name).join(", ");
        let found = JUDGED.iter().find(|package| package.name == name);
        found.with_context(|| format!("{name} is not judged; these are: {all}"))
    };
    names.iter().map(find).collect()
}

/// Tests the package's mutants; `None` if the selection has none.
fn test(package: &Judged, args: &Args, tree: &Path) -> Result<Option<Outcomes>> {
    let out = workspace::root().join("target/mutants").join(package.name);
    fs::create_dir_all(&out)?;
    let mut selection = vec![format!("--package={}", package.name)];
    if let Some(rev) = &args.in_diff {
        let diff = command::output("git", &["diff", "--no-ext-diff", rev, "--", "*.rs"])?;
        let path = out.join("in.diff");
        fs::write(&path, diff)?;
        selection.push(format!("--in-diff={}", path.display()));
    }
    selection.extend(args.arguments.iter().cloned());

    let mutants = cargo_mutants(tree, &selection).arg("--list").output()?;
    let count = mutants.lines().count();
    if count == 0 {
        return Ok(None);
    }
    let most = args.at_most.unwrap_or(count).max(1);
    let slice = args.slice.unwrap_or(Slice {
        number: 1,
        of: count.div_ceil(most),
    });
    let mut run = cargo_mutants(tree, &selection)
        .arg("--in-place")
        .arg("--sharding=round-robin")
        .arg(&format!("--shard={}/{}", slice.number - 1, slice.of))
        .arg(&format!("--test-package={}", package.name))
        .arg(&format!("--output={}", out.display()));
    for other in package.covered_by {
        run = run.arg(&format!("--test-package={other}"));
    }
    let status = run.status()?;
    // 2 and 3 stand for missed mutants and timeouts, which are in the outcomes.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        bail!("cargo mutants failed ({status})");
    }
    Outcomes::read(&out.join("mutants.out/outcomes.json")).map(Some)
}

fn cargo_mutants(tree: &Path, selection: &[String]) -> Shown {
    let command = program("cargo").arg("mutants").within(tree);
    selection
        .iter()
        .fold(command, |command, argument| command.arg(argument))
}

fn judge(
    package: &Judged,
    outcomes: &Outcomes,
    survivors: &Survivors,
    is_whole: bool,
) -> Vec<String> {
    let mut problems: Vec<_> = survivors
        .unlisted(&outcomes.missed)
        .into_iter()
        .map(|name| {
            format!(
                "{name}: no test notices it; write one, or give the reason in {}",
                survivors::PATH
            )
        })
        .collect();
    if is_whole {
        let stale = survivors.stale(package.name, &outcomes.missed);
        problems.extend(
            stale
                .into_iter()
                .map(|name| format!("{name}: is noticed now; take it out of {}", survivors::PATH)),
        );
        let percent = outcomes.percent();
        if percent < package.floor {
            let (name, floor) = (package.name, package.floor);
            problems.push(format!(
                "{name}: {percent:.1} % noticed, its floor is {floor} %"
            ));
        }
    }
    problems
}

impl Args {
    /// Whether a package's mutants are all looked at.
    fn is_whole(&self) -> bool {
        self.slice.is_none()
            && self.in_diff.is_none()
            && self.at_most.is_none()
            && self.arguments.is_empty()
    }
}

impl std::str::FromStr for Slice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('/');
        let numbers = parts.and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err("a slice is K/N, from 1/N to N/N"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(caught: usize, missed: &[&str]) -> Outcomes {
        Outcomes {
            caught,
            timeout: 0,
            unviable: 0,
            missed: missed.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    const LIST: &str =
        "## qsse-topic\n\n- `crates/qsse-topic/src/a.rs: replace f with ()`: harmless\n";
    const LISTED: &str = "crates/qsse-topic/src/a.rs: replace f with ()";

    #[test]
    fn a_survivor_fails_the_run_unless_it_is_listed() {
        let survivors = Survivors::parse(LIST).unwrap();
        let judge = |missed: &[&str]| judge(&JUDGED[0], &outcomes(9, missed), &survivors, false);
        assert!(judge(&[LISTED]).is_empty());
        let problems = judge(&[LISTED, "crates/qsse-topic/src/b.rs: replace g with ()"]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("b.rs"), "{problems:?}");
    }

    #[test]
    fn only_a_whole_package_is_held_to_its_floor_and_list() {
        let survivors = Survivors::parse(LIST).unwrap();
        let judge = |caught, missed: &[&str], is_whole| {
            judge(&JUDGED[0], &outcomes(caught, missed), &survivors, is_whole)
        };
        assert!(judge(19, &[LISTED], true).is_empty(), "95 % is enough");
        let low = judge(18, &[LISTED], true);
        assert!(low.len() == 1 && low[0].contains("floor"), "{low:?}");
        assert!(judge(18, &[LISTED], false).is_empty());
        let stale = judge(20, &[], true);
        assert!(
            stale.len() == 1 && stale[0].contains("noticed now"),
            "{stale:?}"
        );
    }

    #[test]
    fn slices_count_from_one() {
        assert_eq!("2/8".parse(), Ok(Slice { number: 2, of: 8 }));
        for wrong in ["0/8", "9/8", "8", "a/b", "1/0"] {
            assert!(wrong.parse::<Slice>().is_err(), "{wrong}");
        }
    }
}
