//! [`RateLimit`]: how often something may happen.

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
        Self::of(burst.into(), per_second.into())
    }

    /// Creates a limit of any numbers; less than 1 counts as 1.
    pub(crate) fn of(burst: f64, per_second: f64) -> Self {
        let (burst, per_second) = (burst.max(1.0), per_second.max(1.0));
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

    /// Counts work that is already done. Returns when the client may go on, if not now.
    ///
    /// Several tasks may spend from one limit: each is told the time at which what was spent before
    /// it, and its own share, is earned.
    pub(crate) fn spend(&mut self, cost: f64) -> Option<Instant> {
        self.refill();
        self.left -= cost;
        let missing = (-self.left / self.per_second).max(0.0);
        (missing > 0.0).then(|| self.counted + Duration::from_secs_f64(missing))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_beyond_the_burst_is_paid_for_with_time_by_all_who_share_a_limit() {
        let mut limit = RateLimit::new(10, 5);
        let start = Instant::now();
        assert_eq!(limit.spend(10.0), None);
        let second = |count| Some(start + Duration::from_secs(count));
        assert_eq!(limit.spend(5.0), second(1));
        assert_eq!(limit.spend(10.0), second(3), "behind the one before");
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(limit.spend(0.0), None);
        tokio::time::advance(Duration::from_secs(1_000)).await;
        assert_eq!(limit.spend(10.0), None, "no more is saved up than a burst");
        assert!(limit.spend(1.0).is_some());
    }
}
