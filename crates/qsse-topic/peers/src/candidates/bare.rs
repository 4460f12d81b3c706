//! The standard library's hash map with its own hasher: the limit of exact lookups.

use super::{Candidate, Found};
use std::collections::HashMap;
use std::sync::Arc;

/// Keys are what a [`qsse_topic::Pattern`] keeps inside.
#[derive(Default)]
pub(crate) struct Bare(HashMap<Arc<str>, u32>);

impl Candidate for Bare {
    type Topic = Arc<str>;

    fn topic(text: &str) -> Arc<str> {
        text.into()
    }

    fn insert(&mut self, pattern: &str, value: u32) {
        self.0.insert(pattern.into(), value);
    }

    fn lookup(&self, topic: &Arc<str>, found: &mut Found) {
        if let Some(value) = self.0.get(&**topic) {
            found.0 += 1;
            found.1 += u64::from(*value);
        }
    }

    fn remove(&mut self, pattern: &str) -> bool {
        self.0.remove(pattern).is_some()
    }
}
