//! The foreign crates whose types may be public: a new major version of one of them is one of ours.

use std::collections::{BTreeMap, BTreeSet};

use super::listing::Listing;

/// The foreign crates, each with the reason.
const FOREIGN: &[(&str, &str)] = &[
    (
        "async_trait",
        "the attribute for those who implement a server's traits",
    ),
    (
        "axum",
        "the administration nests into a service of the caller's own",
    ),
    ("bytes", "the data of events is shared, not copied"),
    ("futures_core", "subscriptions and states are `Stream`s"),
    (
        "metrics",
        "a server writes its metrics to the caller's recorder",
    ),
    (
        "http",
        "heads of requests and answers are those of everybody",
    ),
    (
        "quinn",
        "sockets of the caller's own, behind a feature, and conversions of its errors",
    ),
    ("rustls", "TLS configurations of the caller's own"),
    (
        "serde",
        "settings are read from files, and events from JSON",
    ),
    (
        "serde_json",
        "an event that is not the JSON asked for says why",
    ),
    ("tokio", "the runtimes that the shards of a server run on"),
];

/// What the crates of the workspace name.
#[derive(Default)]
pub(super) struct Found {
    /// Foreign crates, each with the items that name it.
    items: BTreeMap<String, BTreeSet<String>>,
}

impl Found {
    /// Adds what a crate names.
    pub(super) fn add(&mut self, listing: &Listing) {
        for (name, items) in &listing.foreign {
            let all = self.items.entry(name.clone()).or_default();
            all.extend(items.iter().cloned());
        }
    }

    /// The crates that are public and not allowed, and those that are allowed and not public.
    pub(super) fn problems(&self) -> Vec<String> {
        self.problems_with(FOREIGN)
    }

    fn problems_with(&self, allowed: &[(&str, &str)]) -> Vec<String> {
        let is_allowed = |name: &str| allowed.iter().any(|(allowed, _)| *allowed == name);
        let new = self.items.iter().filter(|(name, _)| !is_allowed(name));
        let new = new.map(|(name, items)| {
            let items: Vec<_> = items.iter().take(3).map(String::as_str).collect();
            format!(
                "{name}: is public in {}, without a reason",
                items.join(", ")
            )
        });
        let gone = allowed
            .iter()
            .filter(|(name, _)| !self.items.contains_key(*name))
            .map(|(name, _)| format!("{name}: is public nowhere any more"));
        new.chain(gone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_crate_needs_a_reason_and_a_reason_a_foreign_crate() {
        let mut found = Found::default();
        let items = BTreeSet::from(["a::B".to_owned()]);
        found.items.insert("bytes".to_owned(), items);
        assert!(found.problems_with(&[("bytes", "because")]).is_empty());
        let new = found.problems_with(&[]);
        assert!(new.len() == 1 && new[0].contains("a::B"), "{new:?}");
        assert_eq!(
            found.problems_with(&[("bytes", ""), ("serde", "")]).len(),
            1
        );
    }
}
