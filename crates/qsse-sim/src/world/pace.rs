//! [`Pace`]: delays for operations that would otherwise finish at once.

use std::time::Duration;

use parking_lot::Mutex;
use qsse_testing::rng::Rng;
use tokio::time::sleep;

/// Draws how long each of its operations takes.
pub(super) struct Pace {
    rng: Mutex<Rng>,
    most: Duration,
}

impl Pace {
    /// Operations that take up to so many milliseconds; with 0 none takes any time.
    pub(super) fn new(seed: u64, most_ms: u64) -> Self {
        Self {
            rng: Mutex::new(Rng::new(seed)),
            most: Duration::from_millis(most_ms),
        }
    }

    /// Takes the time of an operation, or of a part of one.
    pub(super) async fn take_time(&self) {
        if self.most > Duration::ZERO {
            let time = self.rng.lock().duration(Duration::ZERO, self.most);
            sleep(time).await;
        }
    }
}
