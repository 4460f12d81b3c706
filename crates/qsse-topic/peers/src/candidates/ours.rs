//! `qsse_topic::Matcher`.

use super::{Candidate, Found};
use qsse_topic::{Matcher, Pattern, PatternRef, Topic};

/// Ours.
#[derive(Default)]
pub(crate) struct Ours(Matcher<u32>);

impl Candidate for Ours {
    type Topic = Topic;

    fn topic(text: &str) -> Topic {
        Topic::new(text).expect("the data set has valid topics")
    }

    fn insert(&mut self, pattern: &str, value: u32) {
        let pattern = Pattern::new(pattern).expect("the data set has valid patterns");
        self.0.insert(pattern, value);
    }

    fn lookup(&self, topic: &Topic, found: &mut Found) {
        for (_, value) in self.0.matches(topic) {
            found.0 += 1;
            found.1 += u64::from(*value);
        }
    }

    fn remove(&mut self, pattern: &str) -> bool {
        let pattern = PatternRef::new(pattern).expect("the data set has valid patterns");
        self.0.remove(pattern).is_some()
    }
}
