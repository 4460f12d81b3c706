//! [`Timestamp`]: a point in time, in microseconds.

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time: microseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// The text form is RFC 3339 in UTC with six fractional digits. Serde uses the text in
/// human-readable formats and the number in others.
///
/// ```
/// use qsse_proto::Timestamp;
///
/// let time = Timestamp::from_micros(1_767_323_045_000_006);
/// assert_eq!(time.to_string(), "2026-01-02T03:04:05.000006Z");
/// assert_eq!("2026-01-02T04:04:05.000006+01:00".parse(), Ok(time));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// A text that is not a point in time since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("not a time since 1970 in RFC 3339: write it as `2026-01-02T03:04:05Z`")]
pub struct ParseTimestampError(());

impl Timestamp {
    /// Creates the time this many microseconds after the start of 1970.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the start of 1970.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Converts to the standard library's type; `None` if that cannot represent it.
    pub fn to_system_time(self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(Duration::from_micros(self.0))
    }

    /// Returns the time since `earlier`; zero if this is not later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Drops fractions of a microsecond. A time before 1970 becomes the start of 1970.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        // Every publish gets here, and 128-bit arithmetic would cost more than reading the clock.
        let micros = since.as_secs().saturating_mul(MICROS);
        Self(micros.saturating_add(since.subsec_micros().into()))
    }
}

const MICROS: u64 = 1_000_000;
const DAY: u64 = 24 * 60 * 60;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / MICROS, self.0 % MICROS);
        let (year, month, day) = civil(seconds / DAY);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
        )
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    /// Parses RFC 3339 with any fraction and offset. Digits beyond microseconds are dropped.
    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        parse(text).ok_or(ParseTimestampError(()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

/// The days of the 400 years after which the calendar repeats.
const ERA: u64 = 146_097;
/// The days from 0000-03-01 to 1970-01-01. A year that begins in March has its leap day last.
const SHIFT: u64 = 719_468;

/// Converts days since 1970-01-01 to year, month and day.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + SHIFT;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, turn) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + turn, month, day)
}

/// Converts a date to days since 1970-01-01; `None` if it is not a date.
fn days(year: u64, month: u64, day: u64) -> Option<i64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year.checked_sub(1)?, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some(i64::try_from(days).ok()? - SHIFT as i64)
}

fn parse(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, rest) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    // A leap second counts as the second after it, as in clocks that step.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, zone) = fraction(rest)?;
    let local = days(year, month, day)? * DAY as i64 + (hour * 3600 + minute * 60 + second) as i64;
    let seconds = u64::try_from(local - offset(zone)?).ok()?;
    Some(Timestamp(seconds * MICROS + micros))
}

/// Parses an optional fraction. Returns its microseconds, and the text after it.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(text) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let end = text.find(|char: char| !char.is_ascii_digit())?;
    let (digits, rest) = text.split_at(end);
    let kept = &digits[..end.min(6)];
    let scale = 10u64.pow(6 - kept.len() as u32);
    Some((kept.parse::<u64>().ok()? * scale, rest))
}

/// Parses a zone. Returns how many seconds it is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    let (sign, text) = match zone {
        "Z" | "z" => return Some(0),
        _ if zone.starts_with('+') => (1, &zone[1..]),
        _ if zone.starts_with('-') => (-1, &zone[1..]),
        _ => return None,
    };
    let [hours, minutes] = numbers(text, ':', [2, 2])?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60) as i64)
}

/// Parses numbers of exactly these widths, with `separator` between them.
fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[u64; N]> {
    let mut parts = text.split(separator);
    let mut values = [0; N];
    for (value, width) in values.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *value = part.parse().ok()?;
    }
    parts.next().is_none().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Verified with `date -u`.
    const KNOWN: [(u64, &str); 8] = [
        (0, "1970-01-01T00:00:00.000000Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
        (951_868_799_999_999, "2000-02-29T23:59:59.999999Z"),
        (1_709_164_800_000_000, "2024-02-29T00:00:00.000000Z"),
        (1_767_225_599_000_001, "2025-12-31T23:59:59.000001Z"),
        (1_767_323_045_000_006, "2026-01-02T03:04:05.000006Z"),
        (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    ];

    #[test]
    fn known_dates_read_and_print_as_rfc_3339() {
        for (micros, text) in KNOWN {
            assert_eq!(Timestamp(micros).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp(micros)));
            let json = format!("\"{text}\"");
            assert_eq!(serde_json::to_string(&Timestamp(micros)).unwrap(), json);
            assert_eq!(
                serde_json::from_str::<Timestamp>(&json).unwrap(),
                Timestamp(micros)
            );
        }
    }

    #[test]
    fn offsets_and_fractions_are_read() {
        let time = Timestamp(1_767_323_045_000_000);
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02t03:04:05.0z",
            "2026-01-02 03:04:05.0000009Z",
            "2026-01-02T05:34:05+02:30",
            "2026-01-01T23:04:05-04:00",
        ] {
            assert_eq!(text.parse(), Ok(time), "{text}");
        }
        for (text, same) in [
            ("2026-01-02T03:04:05.5Z", "2026-01-02T03:04:05.500000Z"),
            ("2026-01-02T03:04:05.0421Z", "2026-01-02T03:04:05.042100Z"),
            ("2026-01-02T23:59:59+23:59", "2026-01-02T00:00:59Z"),
            ("2026-06-30T23:59:60Z", "2026-07-01T00:00:00Z"),
        ] {
            let time: Timestamp = same.parse().unwrap();
            assert_eq!(text.parse(), Ok(time), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-13-02T03:04:05Z",
            "2026-02-29T03:04:05Z",
            "2026-04-31T03:04:05Z",
            "2026-01-00T03:04:05Z",
            "2026-01-02T24:04:05Z",
            "2026-01-02T03:60:05Z",
            "2026-01-02T03:04:61Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05.5",
            "2026-01-02T03:04:05+2:00",
            "2026-01-02T03:04:05+24:00",
            "2026-01-02T03:04:05+02:60",
            "2026-01-02T03:04:05Z ",
            "+026-01-02T03:04:05Z",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "éééééééééééééé",
        ] {
            assert_eq!(
                text.parse::<Timestamp>(),
                Err(ParseTimestampError(())),
                "{text}"
            );
        }
    }

    #[test]
    fn time_since_a_later_moment_is_zero() {
        let [early, late] = [3, 10].map(Timestamp::from_micros);
        assert_eq!(late.saturating_since(early), Duration::from_micros(7));
        assert_eq!(early.saturating_since(late), Duration::ZERO);
    }

    #[test]
    fn a_timestamp_survives_system_time() {
        let time = Timestamp(1_767_323_045_000_006);
        assert_eq!(Timestamp::from(time.to_system_time().unwrap()), time);
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Timestamp::from(before), Timestamp(0));
        // It still prints, though the text form of such a time cannot be parsed.
        assert!(Timestamp(u64::MAX).to_string().ends_with(":49.551615Z"));
    }

    proptest! {
        #[test]
        fn round_trip(micros in 0..253_402_300_800_000_000u64) {
            let time = Timestamp(micros);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
