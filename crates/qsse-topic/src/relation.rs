//! How patterns relate to topics and to each other, on texts that have been checked.
//!
//! A pattern stands for a set of topics. The limits on length are left out of that set: `a.*`
//! counts as having topics of any depth.

use crate::syntax::{Step, split_names, steps};

/// Whether `topic` is one of the topics of `pattern`.
pub(crate) fn matches(pattern: &str, topic: &str) -> bool {
    let (mut names, mut wildcards) = split_names(pattern);
    let mut topic = topic;
    if names.is_empty() && topic.starts_with('$') {
        return false;
    }
    // Each turn takes the names up to a `*`, and one segment for it.
    while !wildcards.is_empty() {
        let Some(rest) = topic.strip_prefix(names) else {
            return false;
        };
        if wildcards == "*" {
            // A name that goes on after a dot has a segment there.
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

/// Whether every topic of `inner` is one of `outer`.
///
/// Segment by segment is exact: there are always more names than a pattern can list, so what a
/// wildcard admits only a wildcard can admit.
pub(crate) fn contains(outer: &str, inner: &str) -> bool {
    if hides(outer, inner) {
        return false;
    }
    let mut inner = steps(inner);
    for outer in steps(outer) {
        match (outer, inner.next()) {
            (_, None) => return false,
            (Step::Tail, Some(_)) => return true,
            // If `inner` goes on for ever from here, then `outer` has a step more than `inner`.
            (Step::Any, Some(_)) => {}
            (Step::Literal(outer), Some(Step::Literal(inner))) if outer == inner => {}
            (Step::Literal(_), Some(_)) => return false,
        }
    }
    inner.next().is_none()
}

/// Whether some topic is one of both.
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

/// Whether a wildcard in the first segment of `pattern` keeps it from a name that starts with `$`.
fn hides(pattern: &str, name: &str) -> bool {
    name.starts_with('$') && pattern.starts_with('*')
}
