//! Checks that each package comes in one version, so that users build and audit it once.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::Problem;
use crate::command::cargo;

/// Packages that may come in several versions, and what requires the older one.
const SEVERAL_VERSIONS: &[(&str, &str)] = &[
    (
        "base64",
        "metrics-exporter-prometheus has not taken up the newer one",
    ),
    (
        "getrandom",
        "ring, rand 0.9 and rand 0.10 have each their own",
    ),
    ("hashbrown", "metrics-util has not taken up the newer one"),
    (
        "rand",
        "metrics-util and shuttle have not taken up the newer one",
    ),
    ("rand_chacha", "follows rand"),
    ("rand_core", "follows rand"),
    ("rand_pcg", "follows rand"),
];

pub(super) fn check() -> Result<Vec<Problem>> {
    let tree = cargo(
        "tree --duplicates --workspace --all-features --edges normal --depth 0 --prefix none",
    );
    Ok(check_tree(&tree.output()?, SEVERAL_VERSIONS))
}

/// Checks lines of `name vVERSION`, in which only names with several versions come.
fn check_tree(tree: &str, accepted: &[(&str, &str)]) -> Vec<Problem> {
    let mut versions = BTreeMap::<_, BTreeSet<_>>::new();
    for line in tree.lines() {
        if let [name, version, ..] = line.split_whitespace().collect::<Vec<_>>()[..] {
            versions.entry(name).or_default().insert(version);
        }
    }
    // The same version is listed twice if it is built with two sets of features.
    versions.retain(|_, versions| versions.len() > 1);
    let is_accepted = |name: &str| accepted.iter().any(|(accepted, _)| *accepted == name);
    let new = versions
        .iter()
        .filter(|(name, _)| !is_accepted(name))
        .map(|(name, versions)| {
            let versions = versions.iter().copied().collect::<Vec<_>>().join(" and ");
            Problem::at(
                *name,
                format!(
                    "comes as {versions}; use one, or give a reason in xtask's SEVERAL_VERSIONS"
                ),
            )
        });
    let gone = accepted
        .iter()
        .filter(|(name, _)| !versions.contains_key(name))
        .map(|(name, _)| {
            Problem::at(
                *name,
                "comes in one version; take it from xtask's SEVERAL_VERSIONS",
            )
        });
    new.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_version_needs_a_reason_and_a_reason_a_second_version() {
        let tree = "rand v0.9.5\n\nrand v0.10.3\n\nsyn v2.0.1 (*)\n\nsyn v2.0.1\n";
        let rand = [("rand", "because")];
        assert_eq!(check_tree(tree, &rand), []);
        let new = check_tree(tree, &[]);
        assert_eq!(new.len(), 1);
        assert!(
            new[0]
                .to_string()
                .contains("rand: comes as v0.10.3 and v0.9.5"),
            "{}",
            new[0]
        );
        assert_eq!(check_tree("", &rand).len(), 1);
    }
}
