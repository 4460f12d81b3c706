//! [`SettingError`]: a setting that is out of its range.

use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest duration that a setting can mean: a hundred years. A clock can represent any time
/// that far ahead.
pub const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The value of a setting is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value}: it must be {allowed}")]
#[non_exhaustive]
pub struct SettingError {
    /// The path of the setting in the configuration, such as `transport.send_window`.
    pub name: String,
    /// The value that was given.
    pub value: String,
    /// The allowed values, such as `at least 1024`.
    pub allowed: String,
}

impl SettingError {
    /// Checks a number.
    ///
    /// # Errors
    /// The number is out of range.
    pub fn number(name: &str, value: u64, allowed: RangeInclusive<u64>) -> Result<(), Self> {
        check(name, value, &allowed, (0, u64::MAX))
    }

    /// Checks a duration.
    ///
    /// # Errors
    /// The duration is out of range.
    pub fn duration(
        name: &str,
        value: Duration,
        allowed: RangeInclusive<Duration>,
    ) -> Result<(), Self> {
        check(name, value, &allowed, (Duration::ZERO, Duration::MAX))
    }

    /// Prefixes the name, for a configuration that is the part `part` of a larger one.
    #[must_use]
    pub fn within(mut self, part: &str) -> Self {
        self.name = format!("{part}.{}", self.name);
        self
    }
}

fn check<T: PartialOrd + Debug>(
    name: &str,
    value: T,
    allowed: &RangeInclusive<T>,
    (least, most): (T, T),
) -> Result<(), SettingError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let (start, end) = (allowed.start(), allowed.end());
    let allowed = if *end == most {
        format!("at least {start:?}")
    } else if *start == least {
        format!("at most {end:?}")
    } else {
        format!("from {start:?} to {end:?}")
    };
    Err(SettingError {
        name: name.to_owned(),
        value: format!("{value:?}"),
        allowed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_is_wrong_and_what_would_be_right() {
        let second = Duration::from_secs(1);
        let messages = [
            SettingError::number("window", 3, 4..=u64::MAX),
            SettingError::number("window", 9, 0..=8),
            SettingError::number("window", 9, 4..=8).map_err(|error| error.within("transport")),
            SettingError::duration("timeout", Duration::ZERO, second..=Duration::MAX),
            SettingError::number("window", 8, 4..=8),
        ]
        .map(|checked| checked.err().map(|error| error.to_string()));
        assert_eq!(
            messages.map(Option::unwrap_or_default),
            [
                "window is 3: it must be at least 4",
                "window is 9: it must be at most 8",
                "transport.window is 9: it must be from 4 to 8",
                "timeout is 0ns: it must be at least 1s",
                "",
            ]
        );
    }
}
