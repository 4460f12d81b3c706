//! The key expression tree of zenoh: `*` is one chunk, `**` none or more, at any place.
//!
//! Removing a key leaves the nodes that led to it until the whole tree is pruned, which is not
//! done here: its removals are cheaper for that, and its memory stays.

use super::{Candidate, Found};
use zenoh_keyexpr::keyexpr_tree::{IKeyExprTree as _, IKeyExprTreeMut as _, IKeyExprTreeNode as _};
use zenoh_keyexpr::{OwnedKeyExpr, keyexpr, keyexpr_tree::KeBoxTree};

/// The tree that owns its nodes, with the children it advises.
pub(crate) struct Zenoh(KeBoxTree<u32>);

impl Default for Zenoh {
    fn default() -> Self {
        Self(KeBoxTree::new())
    }
}

fn key(text: &str) -> &keyexpr {
    keyexpr::new(text).expect("the data set has valid key expressions")
}

impl Candidate for Zenoh {
    type Topic = OwnedKeyExpr;

    fn translate(text: &str) -> String {
        let key = text.replace('.', "/");
        match key.strip_suffix("/*") {
            Some(prefix) => format!("{prefix}/**"),
            None => key,
        }
    }

    fn topic(text: &str) -> OwnedKeyExpr {
        key(text).into()
    }

    fn insert(&mut self, pattern: &str, value: u32) {
        self.0.insert(key(pattern), value);
    }

    fn lookup(&self, topic: &OwnedKeyExpr, found: &mut Found) {
        for node in self.0.nodes_including(topic) {
            if let Some(value) = node.weight() {
                found.0 += 1;
                found.1 += u64::from(*value);
            }
        }
    }

    fn remove(&mut self, pattern: &str) -> bool {
        self.0.remove(key(pattern)).is_some()
    }
}
