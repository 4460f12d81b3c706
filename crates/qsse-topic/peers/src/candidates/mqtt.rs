//! The topic tree of `mqtt-topic-engine`: `+` is one level, `#` at the end none or more.
//!
//! A topic is split into its levels beforehand, since the crate has that as a type.

use super::{Candidate, Found};
use mqtt_topic_engine::topic_matcher::{Len, TopicMatcherNode};
use mqtt_topic_engine::{CacheStrategy, TopicPath, TopicPatternPath};

/// The tree alone, without the router around it.
#[derive(Default)]
pub(crate) struct Mqtt(TopicMatcherNode<Value>);

/// What the tree asks of a value.
#[derive(Default)]
struct Value(Option<u32>);

impl Len for Value {
    fn len(&self) -> usize {
        usize::from(self.0.is_some())
    }
}

fn filter(text: &str) -> TopicPatternPath {
    TopicPatternPath::new_from_string(text, CacheStrategy::NoCache)
        .expect("the data set has valid filters")
}

impl Candidate for Mqtt {
    type Topic = TopicPath;

    fn translate(text: &str) -> String {
        let filter = text.replace('.', "/");
        match filter.strip_suffix("/*") {
            Some(prefix) => format!("{prefix}/#").replace("/*", "/+"),
            None => match filter.strip_prefix("*/") {
                Some(rest) => format!("+/{rest}"),
                None => filter.replace("/*", "/+"),
            },
        }
    }

    fn topic(text: &str) -> TopicPath {
        TopicPath::new(text)
    }

    fn insert(&mut self, pattern: &str, value: u32) {
        self.0.get_or_create_subscription_table(&filter(pattern)).0 = Some(value);
    }

    fn lookup(&self, topic: &TopicPath, found: &mut Found) {
        for value in self.0.find_by_path(topic) {
            found.0 += 1;
            found.1 += u64::from(value.0.unwrap_or_default());
        }
    }

    fn remove(&mut self, pattern: &str) -> bool {
        let mut removed = false;
        let filter = filter(pattern);
        let updated = self.0.update_node(filter.slice(), |value| {
            removed = value.0.take().is_some();
        });
        updated.is_ok() && removed
    }
}
