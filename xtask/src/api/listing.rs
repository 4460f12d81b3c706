//! The list of a crate's public items, as it is written.

use std::collections::{BTreeMap, BTreeSet};

/// The public items of a crate.
#[derive(Default)]
pub(super) struct Listing {
    /// By path, so that they stand in its order.
    lines: BTreeSet<(String, String)>,
    /// Foreign crates, each with the items that name it.
    pub(super) foreign: BTreeMap<String, BTreeSet<String>>,
}

impl Listing {
    /// Notes that `item` names something of a foreign crate.
    pub(super) fn add_foreign(&mut self, name: &str, item: &str) {
        let is_own = name.starts_with("qsse") || ["std", "core", "alloc"].contains(&name);
        if !is_own {
            let items = self.foreign.entry(name.to_owned()).or_default();
            items.insert(item.to_owned());
        }
    }

    /// The list as a file.
    pub(super) fn text(&self, name: &str) -> String {
        let foreign: Vec<_> = self.foreign.keys().map(String::as_str).collect();
        let mut text = format!(
            "# The public API of {name}, for Linux with all features. `cargo xtask api` writes this file.\n\
             # What a feature adds has its name in brackets. Foreign crates with public types: {}.\n\n",
            match foreign.is_empty() {
                true => "none".to_owned(),
                false => foreign.join(", "),
            }
        );
        for (_, line) in &self.lines {
            text += line;
            text.push('\n');
        }
        text
    }

    /// Adds a line at the place of `path`, with what it is gated behind.
    pub(super) fn add(&mut self, path: &str, mut text: String, conditions: &[String]) {
        let conditions: BTreeSet<_> = conditions.iter().map(String::as_str).collect();
        if !conditions.is_empty() {
            let conditions: Vec<_> = conditions.into_iter().collect();
            text += &format!("  [{}]", conditions.join(", "));
        }
        self.lines.insert((path.to_owned(), text));
    }
}
