//! The definition of a match, written for reading and not for speed.

/// Whether `topic` matches `pattern`, by the words of the documentation of `qsse-topic`.
pub(crate) fn matches(pattern: &str, topic: &str) -> bool {
    let pattern: Vec<_> = pattern.split('.').collect();
    let topic: Vec<_> = topic.split('.').collect();
    let is_server = pattern[0] == "*" && topic[0].starts_with('$');
    !is_server && segments_match(&pattern, &topic)
}

fn segments_match(pattern: &[&str], topic: &[&str]) -> bool {
    match (pattern, topic) {
        ([], []) => true,
        ([], _) | (_, []) => false,
        (["*"], _) => true,
        ([first, pattern @ ..], [segment, topic @ ..]) => {
            (*first == "*" || first == segment) && segments_match(pattern, topic)
        }
    }
}
