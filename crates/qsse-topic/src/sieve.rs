//! [`Sieve`]: decides which of the ordered topics match a pattern, and skips ranges that cannot.

use crate::syntax::split_names;
use alloc::string::String;

/// How many topics are passed one by one before the scan jumps. To search the tree costs about as
/// much as a few steps.
const STEPS_BEFORE_JUMP: u32 = 4;

/// A pattern that is compared with topics in byte order.
#[derive(Clone)]
pub(crate) struct Sieve<'p> {
    /// The text before the first wildcard. All matching topics start with it.
    names: &'p str,
    /// The rest of the pattern, from its first wildcard.
    rest: &'p str,
    /// No topic below this matches.
    target: String,
    /// How many topics below the target were passed in a row.
    passed: u32,
}

/// What a scan does with a topic.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It matches.
    Match,
    /// It does not match: go on with the next one.
    Pass,
    /// It does not match: go on with the first topic that is not below [`Sieve::target`].
    Jump,
    /// Neither it nor any later topic matches.
    End,
}

impl<'p> Sieve<'p> {
    /// Creates the sieve of a pattern with a wildcard; `None` if there is none.
    pub(crate) fn new(pattern: &'p str) -> Option<Self> {
        let (names, rest) = split_names(pattern);
        (!rest.is_empty()).then(|| Self {
            names,
            rest,
            target: String::new(),
            passed: 0,
        })
    }

    /// Returns the text with which all matching topics start.
    pub(crate) fn names(&self) -> &'p str {
        self.names
    }

    /// Returns a text below which no topic matches.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Decides about the next topic.
    pub(crate) fn judge(&mut self, topic: &str) -> Verdict {
        if !topic.starts_with(self.names) {
            return Verdict::End;
        }
        if topic < self.target.as_str() {
            self.passed += 1;
            if self.passed < STEPS_BEFORE_JUMP {
                return Verdict::Pass;
            }
            self.passed = 0;
            return Verdict::Jump;
        }
        self.passed = 0;
        match self.decide(topic) {
            true => Verdict::Match,
            false => Verdict::Pass,
        }
    }

    /// Returns whether a topic that starts with `names` matches.
    ///
    /// If it does not, `target` becomes empty, or a text above the topic that is not above the next
    /// match.
    fn decide(&mut self, topic: &str) -> bool {
        self.target.clear();
        if self.names.is_empty() && topic.starts_with('$') {
            // The byte after `$`.
            self.target.push('%');
            return false;
        }
        let (mut pattern, mut start) = (self.rest, self.names.len());
        // Each iteration consumes a `*`, one segment of the topic, and the names up to the next
        // `*`.
        while pattern != "*" {
            let Some(dot) = topic[start..].find('.') else {
                // It is too short, but later topics may be longer.
                return false;
            };
            let branch = start + dot;
            start = branch + 1;
            let (names, rest) = split_names(&pattern["*.".len()..]);
            if rest.is_empty() && topic[start..] == *names {
                return true;
            }
            if rest.is_empty() || !topic[start..].starts_with(names) {
                self.target.push_str(&topic[..start]);
                self.target.push_str(names);
                if *topic > *self.target {
                    // It is above everything in this branch that can match. `/`, the byte after the
                    // dot, leaves the branch.
                    self.target.truncate(branch);
                    self.target.push('/');
                }
                return false;
            }
            pattern = rest;
            start += names.len();
        }
        true
    }
}
