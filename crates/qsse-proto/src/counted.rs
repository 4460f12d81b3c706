//! [`Counted`]: a number with its noun.

use std::fmt;

/// A number and its noun, for messages: `1 event`, `2 events`. Only for the crates of this project.
#[derive(Clone, Copy, Debug)]
pub struct Counted<N>(
    /// The number.
    pub N,
    /// The noun in the singular. The plural adds an s.
    pub &'static str,
);

impl<N: Copy + TryInto<u64>> fmt::Display for Counted<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A number that does not fit is certainly not one.
        let number = self.0.try_into().unwrap_or(u64::MAX);
        let s = if number == 1 { "" } else { "s" };
        write!(f, "{number} {}{s}", self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_is_printed_in_the_singular() {
        let shown = [0, 1, 2].map(|number: usize| Counted(number, "event").to_string());
        assert_eq!(shown, ["0 events", "1 event", "2 events"]);
    }
}
