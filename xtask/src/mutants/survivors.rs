//! The mutants that `docs/mutants.md` lists as not noticed by any test, each with its reason.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// The path of the list.
pub(super) const PATH: &str = "docs/mutants.md";

/// The number of entries of each name, by package: a function may have two places with the same
/// mutant.
pub(super) struct Survivors {
    by_package: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Survivors {
    pub(super) fn read() -> Result<Self> {
        Self::parse(&fs::read_to_string(workspace::root().join(PATH)).context(PATH)?).context(PATH)
    }

    /// Sections are packages, and entries ``- `NAME`: reason``.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut by_package = BTreeMap::<_, BTreeMap<_, _>>::new();
        let mut package = None;
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("## ") {
                package = title.starts_with("qsse-").then(|| title.to_owned());
                package.iter().for_each(|name| {
                    by_package.entry(name.clone()).or_default();
                });
            }
            let (Some(entry), Some(package)) = (line.strip_prefix("- `"), &package) else {
                continue;
            };
            match entry.split_once("`: ") {
                Some((name, reason)) if !reason.trim().is_empty() => {
                    let names = by_package.entry(package.clone()).or_default();
                    *names.entry(name.to_owned()).or_insert(0) += 1;
                }
                _ => bail!("an entry is \"- `NAME`: reason\", not {line:?}"),
            }
        }
        Ok(Self { by_package })
    }

    /// Returns the packages with a section, whose survivors have all been examined.
    pub(super) fn packages(&self) -> Vec<String> {
        self.by_package.keys().cloned().collect()
    }

    /// Returns the mutants of `missed` that are not listed, or not as often.
    pub(super) fn unlisted<'m>(&self, missed: &'m [String]) -> Vec<&'m String> {
        let mut left: BTreeMap<&str, usize> = self
            .by_package
            .values()
            .flatten()
            .map(|(name, count)| (name.as_str(), *count))
            .collect();
        let is_unlisted = |name: &&String| match left.get_mut(name.as_str()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        };
        missed.iter().filter(is_unlisted).collect()
    }

    /// Returns the entries of `package` that were not missed, or not as often.
    pub(super) fn stale(&self, package: &str, missed: &[String]) -> Vec<&String> {
        let listed = self.by_package.get(package).into_iter().flatten();
        let is_stale = |name: &str, count: usize| {
            missed.iter().filter(|missed| *missed == name).count() < count
        };
        listed
            .filter(|(name, count)| is_stale(name, **count))
            .map(|(name, _)| name)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_as_often_as_it_is_listed() {
        let text = "# Mutants\n- not in a section\n\n## qsse-a\n- `f`: same\n- `f`: same\n\n## Other\n- text\n";
        let survivors = Survivors::parse(text).unwrap();
        assert_eq!(survivors.packages(), ["qsse-a"]);
        let missed = ["f", "f", "f"].map(str::to_owned);
        assert_eq!(survivors.unlisted(&missed).len(), 1);
        assert!(survivors.stale("qsse-a", &missed).is_empty());
        assert_eq!(survivors.stale("qsse-a", &missed[..1]).len(), 1);
    }

    #[test]
    fn an_entry_without_a_reason_is_refused() {
        for entry in ["- `f`", "- `f`: ", "- `f` reason"] {
            assert!(
                Survivors::parse(&format!("## qsse-a\n{entry}\n")).is_err(),
                "{entry}"
            );
        }
    }

    #[test]
    fn the_list_can_be_read() {
        Survivors::read().unwrap();
    }
}
