//! The pace of a load: a thread counts the events that are due, because the runtime's timers are a
//! millisecond apart.

use std::time::Duration;

use tokio::sync::watch;

use super::clock::Clock;

/// The longest sleep of the thread, so that it soon notices when nobody waits any more.
const LONGEST: Duration = Duration::from_millis(100);

/// Starts the count of events of all publishers that are due so far. At rate 0 all are due at once.
pub(super) fn start(clock: Clock, rate: u64) -> std::io::Result<watch::Receiver<u64>> {
    let (due, seen) = watch::channel(if rate == 0 { u64::MAX } else { 0 });
    if rate > 0 {
        let thread = std::thread::Builder::new().name("pace".into());
        thread.spawn(move || count(clock, rate, &due))?;
    }
    Ok(seen)
}

/// Returns the number of events of a whole run at this rate.
pub(super) fn in_all(clock: &Clock, rate: u64) -> u64 {
    let count = clock.whole().as_nanos() * u128::from(rate) / 1_000_000_000;
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn count(clock: Clock, rate: u64, due: &watch::Sender<u64>) {
    let all = in_all(&clock, rate);
    let mut next = 0;
    while next < all && due.receiver_count() > 0 {
        let now = clock.now();
        let before = next;
        while next < all && clock.due(next, rate) <= now {
            next += 1;
        }
        if next > before {
            due.send_replace(next);
        }
        let wait = Duration::from_nanos(clock.due(next, rate).saturating_sub(clock.now()));
        std::thread::sleep(wait.min(LONGEST));
    }
}
