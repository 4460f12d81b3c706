//! What an event carries: the time it was due as sixteen hexadecimal digits, and padding.
//!
//! It is text, because not all systems take bytes, and the same for all.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of the time.
pub(crate) const TIME_BYTES: usize = 16;

/// Bytes of an event where its size is not what is looked at.
pub(crate) const USUAL_BYTES: usize = 128;

/// Nanoseconds by a clock that all processes of the machine share.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// An event of that size that was due at no time in particular.
pub(crate) fn blank(bytes: usize) -> Vec<u8> {
    due_at(0, bytes)
}

/// An event of that size that was due then.
pub(crate) fn due_at(nanos: u64, bytes: usize) -> Vec<u8> {
    let mut data = format!("{nanos:016x}").into_bytes();
    data.resize(bytes.max(TIME_BYTES), b'x');
    data
}

/// How long ago an event was due; `None` for data that is none of ours.
pub(crate) fn age(data: &[u8], now: u64) -> Option<Duration> {
    let digits = std::str::from_utf8(data.get(..TIME_BYTES)?).ok()?;
    let due = u64::from_str_radix(digits, 16).ok()?;
    Some(Duration::from_nanos(now.saturating_sub(due)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_tells_its_age() {
        let data = due_at(1_000, 128);
        assert_eq!(data.len(), 128);
        assert_eq!(age(&data, 1_500), Some(Duration::from_nanos(500)));
        assert_eq!(age(&data, 900), Some(Duration::ZERO));
        assert_eq!(age(b"short", 1), None);
        assert_eq!(age(&[b'x'; 128], 1), None);
        assert!(data.is_ascii() && !data.contains(&b'\n'));
    }
}
