//! `cargo xtask docs`: writes the generated documents; `--check` fails if one is out of date.

use std::fs;

use anyhow::{Result, bail};

use crate::{artifacts, command, workspace::root};

/// Arguments of `docs`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail if a document is out of date
    #[arg(long)]
    pub(crate) check: bool,
}

/// A document, and the arguments that make `qsse` print it.
struct Document {
    path: &'static str,
    printed_by: &'static [&'static str],
}

const DOCUMENTS: &[Document] = &[Document {
    path: "docs/configuration.md",
    printed_by: &["check-config", "--document"],
}];

/// Writes every generated document, or checks it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let qsse = artifacts::program("bin", "qsse")?;
    let qsse = qsse.to_string_lossy();
    let mut stale = Vec::new();
    for document in DOCUMENTS {
        let wanted = command::output(&qsse, document.printed_by)?;
        let path = root().join(document.path);
        let found = fs::read_to_string(&path).unwrap_or_default();
        if let Some(line) = first_difference(&wanted, &found) {
            if args.check {
                stale.push(format!("{} from line {line}", document.path));
            } else {
                fs::write(&path, wanted)?;
                println!("wrote {}", document.path);
            }
        }
    }
    if !stale.is_empty() {
        bail!(
            "out of date: {}; `cargo xtask docs` writes it",
            stale.join(", ")
        );
    }
    Ok(())
}

/// Returns the number of the first line that differs.
fn first_difference(wanted: &str, found: &str) -> Option<usize> {
    if wanted == found {
        return None;
    }
    let same = wanted
        .lines()
        .zip(found.lines())
        .take_while(|(a, b)| a == b)
        .count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_difference_is_found_by_its_line() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("a\nb\n", "a\n"), Some(2));
        assert_eq!(first_difference("a\n", ""), Some(1));
        assert_eq!(
            first_difference("a\n", "a"),
            Some(2),
            "only the end of the line is missing"
        );
    }
}
