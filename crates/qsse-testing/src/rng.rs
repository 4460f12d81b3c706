//! A small seeded random number generator, the same on every machine and in every version.

use std::time::Duration;

/// SplitMix64: one word of state, every seed is as good as another.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The generator that `seed` names.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product is uniform but for a bias of bound / 2^64.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True with this probability: never at 0.0, always at 1.0.
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 bits are what an f64 holds exactly.
        let draw = (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        draw < probability
    }

    /// A duration from `min` to `max`, both included, in whole microseconds.
    pub fn duration(&mut self, min: Duration, max: Duration) -> Duration {
        let span = max.saturating_sub(min).as_micros() as u64;
        min + Duration::from_micros(self.below(span + 1))
    }

    /// One element of `items`.
    ///
    /// # Panics
    /// When `items` is empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

/// Spreads the bits of `word`, so that near inputs give far outputs.
pub(crate) fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_values_of_splitmix64() {
        // The first outputs of the published reference for seed 1234567.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn chance_hits_as_often_as_asked() {
        let mut rng = Rng::new(1);
        let hits = (0..100_000).filter(|_| rng.chance(0.05)).count();
        assert!((4_500..5_500).contains(&hits), "{hits} of 100,000 at 5 %");
        assert!((0..1_000).all(|_| !rng.chance(0.0)));
        assert!((0..1_000).all(|_| rng.chance(1.0)));
    }

    #[test]
    fn ranges_include_their_ends() {
        let mut rng = Rng::new(2);
        let (min, max) = (Duration::from_micros(3), Duration::from_micros(5));
        let drawn: Vec<_> = (0..200).map(|_| rng.duration(min, max)).collect();
        assert!(drawn.iter().all(|d| (min..=max).contains(d)));
        assert!(drawn.contains(&min) && drawn.contains(&max));
        assert_eq!(rng.duration(max, min), max, "a span of nothing");
    }
}
