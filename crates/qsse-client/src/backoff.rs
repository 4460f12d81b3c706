//! [`Backoff`]: the delays between attempts to connect; without a clock.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use crate::config::ReconnectPolicy;

/// Exponential backoff with full jitter: each delay is uniformly random between zero and a bound
/// that doubles up to a maximum.
///
/// It only computes the delays; the caller waits.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    attempt: u32,
    random: u64,
}

impl Backoff {
    pub(crate) fn new(policy: &ReconnectPolicy) -> Self {
        // Each `RandomState` has its own keys.
        Self::seeded(policy, RandomState::new().build_hasher().finish())
    }

    pub(crate) fn seeded(policy: &ReconnectPolicy, seed: u64) -> Self {
        Self {
            first: policy.first_delay,
            max: policy.max_delay,
            attempt: 0,
            random: seed,
        }
    }

    /// Makes another schedule of the same policy, from its beginning.
    pub(crate) fn fork(&mut self) -> Self {
        Self {
            attempt: 0,
            random: self.draw(),
            ..self.clone()
        }
    }

    /// Returns the delay before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let bound = self.bound();
        self.attempt = self.attempt.saturating_add(1);
        self.below(bound)
    }

    /// Adds up to half of `delay`, for a delay that many clients got at the same time.
    pub(crate) fn spread(&mut self, delay: Duration) -> Duration {
        delay.saturating_add(self.below(delay / 2))
    }

    /// Restarts with the smallest bound.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Returns the largest possible delay before the next attempt.
    fn bound(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.attempt).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }

    fn below(&mut self, bound: Duration) -> Duration {
        // The top 53 bits make a uniform fraction below one.
        let fraction = (self.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        bound.mul_f64(fraction)
    }

    /// Computes one step of SplitMix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn policy() -> ReconnectPolicy {
        ReconnectPolicy::backoff(100 * MS, 10_000 * MS)
    }

    #[test]
    fn bounds_double_up_to_the_maximum() {
        let mut backoff = Backoff::seeded(&policy(), 1);
        let bounds: Vec<_> = (0..10)
            .map(|_| {
                let bound = backoff.bound();
                assert!(backoff.next() <= bound);
                bound.as_millis()
            })
            .collect();
        assert_eq!(
            bounds,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]
        );
        for _ in 0..100 {
            backoff.next();
        }
        assert_eq!(backoff.bound(), 10_000 * MS, "no overflow");
        backoff.reset();
        assert_eq!(backoff.bound(), 100 * MS);
    }

    #[test]
    fn delays_fill_the_whole_range_evenly() {
        let mut quarters = [0_u32; 4];
        for seed in 0..4000 {
            let delay = Backoff::seeded(&policy(), seed).next();
            quarters[(delay.as_nanos() * 4 / (100 * MS).as_nanos()) as usize] += 1;
        }
        assert!(
            quarters.iter().all(|n| (900..1100).contains(n)),
            "{quarters:?}"
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_delays_and_two_clients_differ() {
        let delays = |mut backoff: Backoff| (0..8).map(|_| backoff.next()).collect::<Vec<_>>();
        assert_eq!(
            delays(Backoff::seeded(&policy(), 7)),
            delays(Backoff::seeded(&policy(), 7))
        );
        assert_ne!(
            delays(Backoff::new(&policy())),
            delays(Backoff::new(&policy()))
        );
    }

    #[test]
    fn a_fork_begins_anew_and_differs() {
        let mut backoff = Backoff::seeded(&policy(), 5);
        backoff.next();
        let (mut one, mut two) = (backoff.fork(), backoff.fork());
        assert_eq!(one.bound(), 100 * MS);
        assert_ne!(one.next(), two.next());
        assert_eq!(backoff.bound(), 200 * MS);
    }

    #[test]
    fn a_given_delay_is_never_shortened() {
        let mut backoff = Backoff::seeded(&policy(), 3);
        for _ in 0..100 {
            let delay = backoff.spread(1000 * MS);
            assert!((1000 * MS..=1500 * MS).contains(&delay), "{delay:?}");
        }
        assert_eq!(backoff.spread(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn no_delay_is_no_delay() {
        let mut backoff = Backoff::new(&ReconnectPolicy::backoff(Duration::ZERO, Duration::ZERO));
        assert_eq!([backoff.next(), backoff.next()], [Duration::ZERO; 2]);
    }
}
