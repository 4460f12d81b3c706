//! The relations of patterns to topics and to each other. The texts must have been checked.
//!
//! A pattern stands for a set of topics. The limits on length do not restrict that set: `a.*`
//! counts as having topics of any depth.

use crate::syntax::{Step, split_names, steps};

/// Returns whether `pattern` matches `topic`.
pub(crate) fn matches(pattern: &str, topic: &str) -> bool {
    let (mut names, mut wildcards) = split_names(pattern);
    let mut topic = topic;
    if names.is_empty() && topic.starts_with('$') {
        return false;
    }
    // Each iteration consumes the names up to a `*`, and one segment for the `*`.
    while !wildcards.is_empty() {
        let Some(rest) = topic.strip_prefix(names) else {
            return false;
        };
        if wildcards == "*" {
            // A name that continues after a dot has at least one more segment.
            return true;
        }
        let Some(dot) = rest.bytes().position(|byte| byte == b'.') else {
            return false;
        };
        topic = &rest[dot + 1..];
        (names, wildcards) = split_names(&wildcards["*.".len()..]);
    }
    topic == names
}

/// Returns whether every topic of `inner` is a topic of `outer`.
///
/// To compare segment by segment is exact: there are more names than patterns can list, so only a
/// wildcard covers a wildcard.
pub(crate) fn contains(outer: &str, inner: &str) -> bool {
    if hides(outer, inner) {
        return false;
    }
    let mut inner = steps(inner);
    for outer in steps(outer) {
        match (outer, inner.next()) {
            (_, None) => return false,
            (Step::Tail, Some(_)) => return true,
            // If `inner` has a final wildcard here, `outer` has one step more than `inner`.
            (Step::Any, Some(_)) => {}
            (Step::Literal(outer), Some(Step::Literal(inner))) if outer == inner => {}
            (Step::Literal(_), Some(_)) => return false,
        }
    }
    inner.next().is_none()
}

/// Returns whether some topic matches both.
pub(crate) fn intersects(a: &str, b: &str) -> bool {
    if hides(a, b) || hides(b, a) {
        return false;
    }
    let (mut a, mut b) = (steps(a), steps(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(Step::Tail), Some(_)) | (Some(_), Some(Step::Tail)) => return true,
            (Some(Step::Literal(a)), Some(Step::Literal(b))) if a != b => return false,
            (Some(_), Some(_)) => {}
        }
    }
}

/// Returns whether `name` starts with `$` and `pattern` with a wildcard, which never matches it.
fn hides(pattern: &str, name: &str) -> bool {
    name.starts_with('$') && pattern.starts_with('*')
}
