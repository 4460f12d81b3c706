//! [`Topics`]: which topics a server has.

use qsse_topic::{Matcher, Pattern, PatternError, TopicRef};

/// Which topics events may have.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    /// `None`: any topic.
    declared: Option<Matcher<()>>,
}

impl Topics {
    /// Makes a set of declared topics, and of patterns that admit topics.
    pub(crate) fn declare<T: AsRef<str>>(
        topics: impl IntoIterator<Item = T>,
    ) -> Result<Self, (String, PatternError)> {
        let parse = |topic: T| match Pattern::new(topic.as_ref()) {
            Ok(pattern) => Ok((pattern, ())),
            Err(error) => Err((topic.as_ref().to_owned(), error)),
        };
        let declared = topics.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self {
            declared: Some(declared),
        })
    }

    /// Returns the declared names and patterns; none if any topic may be used.
    pub(crate) fn declared(&self) -> impl Iterator<Item = &Pattern> {
        self.declared
            .iter()
            .flat_map(Matcher::iter)
            .map(|(pattern, ())| pattern)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.declared.is_none()
    }

    /// Returns whether events may be published on `topic`.
    pub(crate) fn admits(&self, topic: TopicRef<'_>) -> bool {
        self.declared
            .as_ref()
            .is_none_or(|declared| declared.matches(topic).next().is_some())
    }

    /// Returns what `topic` was declared as: its name, or else the first pattern that admits it.
    pub(crate) fn declared_as(&self, topic: TopicRef<'_>) -> Option<&Pattern> {
        let admitting = self
            .declared
            .as_ref()?
            .matches(topic)
            .map(|(pattern, ())| pattern);
        admitting.min_by_key(|pattern| (!pattern.is_exact(), pattern.as_str()))
    }

    /// Returns whether some topic of this server can match `pattern`.
    pub(crate) fn has(&self, pattern: &Pattern) -> bool {
        match TopicRef::new(pattern.as_str()) {
            // A name, which mostly it is, is looked up.
            Ok(topic) => self.admits(topic),
            Err(_) => self.is_open() || self.declared().any(|known| known.intersects(pattern)),
        }
    }

    /// Returns the declared name or pattern most similar to `name`, for an error message. Of many
    /// topics it looks at some only, because a client can ask for this again and again.
    pub(crate) fn nearest(&self, name: &str) -> Option<&Pattern> {
        self.search_nearest(name).0
    }

    /// Returns the nearest one, and how many pairs of bytes were compared.
    fn search_nearest(&self, name: &str) -> (Option<&Pattern>, usize) {
        let far = name.len().max(3) / 2;
        let mut compared = 0;
        let near = self
            .declared()
            .take(HINT_TOPICS)
            .filter(|pattern| pattern.as_str().len().abs_diff(name.len()) <= far)
            .take_while(|pattern| {
                compared += pattern.as_str().len() * name.len();
                compared <= HINT_COMPARISONS
            })
            .map(|pattern| (distance(pattern.as_str(), name), pattern))
            .filter(|(distance, _)| *distance <= far)
            .min_by_key(|(distance, pattern)| (*distance, pattern.as_str()))
            .map(|(_, pattern)| pattern);
        (near, compared.min(HINT_COMPARISONS))
    }
}

/// How many declared topics are looked at for one hint, and how many pairs of bytes are compared:
/// that takes some hundredths of a millisecond. Names of 182 bytes and more get no hint.
const HINT_TOPICS: usize = 4_096;
const HINT_COMPARISONS: usize = 1 << 15;

/// Returns how many bytes must be changed, added or removed to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicRef<'_> {
        TopicRef::new(name).unwrap()
    }

    #[test]
    fn declared_names_and_patterns_admit_their_topics() {
        let topics = Topics::declare(["people", "ride.*"]).unwrap();
        assert!(topics.admits(topic("people")));
        assert!(topics.admits(topic("ride.7.start")));
        assert!(!topics.admits(topic("ride")));
        assert!(Topics::default().admits(topic("anything")));
    }

    #[test]
    fn a_pattern_that_can_match_nothing_is_found() {
        let topics = Topics::declare(["people", "ride.*"]).unwrap();
        assert!(topics.has(&"*".parse().unwrap()));
        assert!(topics.has(&"people".parse().unwrap()));
        assert!(!topics.has(&"car.*".parse().unwrap()));
        assert!(topics.has(&"ride.7".parse().unwrap()));
        assert!(!topics.has(&"ride".parse().unwrap()));
    }

    #[test]
    fn the_nearest_name_is_told_and_a_far_one_is_not() {
        let topics = Topics::declare(["people", "ride.*"]).unwrap();
        assert_eq!(topics.nearest("peple").unwrap().as_str(), "people");
        assert_eq!(topics.nearest("zzzzzzzzzzz"), None);
    }

    #[test]
    fn a_hint_costs_no_more_with_more_and_longer_names() {
        let names = |count: usize| (0..count).map(|n| format!("{}{n:04}", "x".repeat(50)));
        let wanted = "y".repeat(54);
        let few = Topics::declare(names(3)).unwrap();
        assert_eq!(few.search_nearest(&wanted), (None, 3 * 54 * 54));
        let many = Topics::declare(names(2_000)).unwrap();
        assert_eq!(many.search_nearest(&wanted), (None, HINT_COMPARISONS));
    }
}
