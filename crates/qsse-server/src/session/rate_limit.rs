//! [`RateLimit`]: how often a client may send control frames.

use std::time::Duration;

use tokio::time::Instant;

/// Delays a client that sends control frames faster than allowed: they wait in its own stream.
pub(crate) struct RateLimit {
    left: f64,
    burst: f64,
    per_second: f64,
    counted: Instant,
}

impl RateLimit {
    pub(crate) fn new(burst: u32, per_second: u32) -> Self {
        let (burst, per_second) = (f64::from(burst.max(1)), f64::from(per_second.max(1)));
        Self {
            left: burst,
            burst,
            per_second,
            counted: Instant::now(),
        }
    }

    /// Whether the next frame may be handled now.
    pub(crate) fn ready(&self) -> bool {
        self.left >= 1.0
    }

    /// Counts a frame.
    pub(crate) fn take(&mut self) {
        self.refill();
        self.left -= 1.0;
    }

    /// Waits until the next frame may be handled. Cancel-safe.
    pub(crate) async fn wait(&mut self) {
        let missing = ((1.0 - self.left) / self.per_second).max(0.0);
        let refilled = self.counted + Duration::from_secs_f64(missing);
        // In a box, as few clients are that fast.
        Box::pin(tokio::time::sleep_until(refilled)).await;
        self.refill();
    }

    fn refill(&mut self) {
        let now = Instant::now();
        let earned = (now - self.counted).as_secs_f64() * self.per_second;
        (self.left, self.counted) = ((self.left + earned).min(self.burst), now);
    }
}
