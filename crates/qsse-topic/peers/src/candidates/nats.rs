//! A sublist in the style of NATS, written for this comparison: a map of tokens at each level,
//! beside it the nodes of `*` and `>`.
//!
//! It has no cache of results in front, as brokers have: that is a question of how often topics
//! repeat, and here sits a layer above the matcher.

use super::{Candidate, Found};
use std::collections::HashMap;

/// The first level.
#[derive(Default)]
pub(crate) struct Nats(Level);

/// The nodes that one token leads to.
#[derive(Default)]
struct Level {
    tokens: HashMap<Box<str>, Node>,
    star: Option<Box<Node>>,
    rest: Option<Box<Node>>,
}

#[derive(Default)]
struct Node {
    next: Option<Box<Level>>,
    subscription: Option<Box<Subscription>>,
}

/// It keeps its subject, as a subscription does.
struct Subscription {
    _subject: Box<str>,
    value: u32,
}

impl Level {
    fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.star.is_none() && self.rest.is_none()
    }

    fn lookup<'t>(&self, mut tokens: impl Iterator<Item = &'t str> + Clone, found: &mut Found) {
        let Some(token) = tokens.next() else {
            return;
        };
        if let Some(rest) = &self.rest {
            rest.report(found);
        }
        for node in [self.star.as_deref(), self.tokens.get(token)] {
            let Some(node) = node else {
                continue;
            };
            if tokens.clone().next().is_none() {
                node.report(found);
            } else if let Some(next) = &node.next {
                // One type however deep: the tokens that are left are the same iterator.
                next.lookup(tokens.clone(), found);
            }
        }
    }

    fn remove<'t>(&mut self, mut tokens: impl Iterator<Item = &'t str> + Clone) -> bool {
        let Some(token) = tokens.next() else {
            return false;
        };
        let node = match token {
            "*" => self.star.as_deref_mut(),
            ">" => self.rest.as_deref_mut(),
            name => self.tokens.get_mut(name),
        };
        let Some(node) = node else {
            return false;
        };
        let removed = if tokens.clone().next().is_none() {
            node.subscription.take().is_some()
        } else {
            let next = node.next.as_deref_mut();
            let removed = next.is_some_and(|next| next.remove(tokens));
            node.next.take_if(|next| next.is_empty());
            removed
        };
        if node.next.is_none() && node.subscription.is_none() {
            match token {
                "*" => self.star = None,
                ">" => self.rest = None,
                name => drop(self.tokens.remove(name)),
            }
        }
        removed
    }
}

impl Node {
    fn report(&self, found: &mut Found) {
        if let Some(subscription) = &self.subscription {
            found.0 += 1;
            found.1 += u64::from(subscription.value);
        }
    }
}

impl Candidate for Nats {
    type Topic = String;

    fn translate(text: &str) -> String {
        match text.strip_suffix(".*") {
            Some(prefix) => format!("{prefix}.>"),
            None => text.to_owned(),
        }
    }

    fn topic(text: &str) -> String {
        text.to_owned()
    }

    fn insert(&mut self, pattern: &str, value: u32) {
        let mut level = &mut self.0;
        let mut tokens = pattern.split('.').peekable();
        while let Some(token) = tokens.next() {
            let node = match token {
                "*" => &mut **level.star.get_or_insert_default(),
                ">" => &mut **level.rest.get_or_insert_default(),
                name => {
                    if !level.tokens.contains_key(name) {
                        level.tokens.insert(name.into(), Node::default());
                    }
                    level.tokens.get_mut(name).expect("it is there by now")
                }
            };
            if tokens.peek().is_none() {
                node.subscription = Some(Box::new(Subscription {
                    _subject: pattern.into(),
                    value,
                }));
                return;
            }
            level = node.next.get_or_insert_default();
        }
    }

    fn lookup(&self, topic: &String, found: &mut Found) {
        self.0.lookup(topic.split('.'), found);
    }

    fn remove(&mut self, pattern: &str) -> bool {
        self.0.remove(pattern.split('.'))
    }
}
