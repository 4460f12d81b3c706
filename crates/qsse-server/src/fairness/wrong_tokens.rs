//! [`WrongTokens`]: slows down networks from which wrong tokens come.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use qsse_transport::Network;
use tokio::time::Instant;

/// Wrong tokens that have no effect: a client that was configured wrongly is no attack.
const FREE: f64 = 5.0;

/// The first delay. It doubles with each wrong token, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(100);

/// The longest delay: others of the same network wait too, with tokens that are right.
const LONGEST: Duration = Duration::from_secs(2);

/// How long it takes until a wrong token is forgiven.
const FORGIVEN: Duration = Duration::from_secs(2);

/// How many networks are remembered: beyond it, the one that was quiet for longest is forgotten.
const NETWORKS: usize = 4_096;

/// Counts wrong tokens by network.
#[derive(Default)]
pub(crate) struct WrongTokens {
    networks: Mutex<HashMap<Network, Wrong>>,
    unreported: AtomicU64,
}

#[derive(Clone, Copy)]
struct Wrong {
    /// Those that are not forgiven.
    count: f64,
    last: Instant,
}

impl Wrong {
    fn count(self, now: Instant) -> f64 {
        let forgiven = (now - self.last).as_secs_f64() / FORGIVEN.as_secs_f64();
        (self.count - forgiven).max(0.0)
    }
}

impl WrongTokens {
    /// Returns how long a client of this network has to wait before its token is checked.
    pub(crate) fn delay(&self, network: Network) -> Duration {
        let wrong = self.networks.lock().get(&network).copied();
        let count = wrong.map_or(0.0, |wrong| wrong.count(Instant::now()));
        if count < FREE {
            return Duration::ZERO;
        }
        FIRST.mul_f64((count - FREE).min(16.0).exp2()).min(LONGEST)
    }

    /// Counts a wrong token.
    pub(crate) fn count(&self, network: Network) {
        self.unreported.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut networks = self.networks.lock();
        if networks.len() >= NETWORKS && !networks.contains_key(&network) {
            let quietest = networks.iter().min_by_key(|(_, wrong)| wrong.last);
            let quietest = quietest.map(|(network, _)| *network);
            quietest.map(|network| networks.remove(&network));
        }
        let known = networks.get(&network);
        let count = known.map_or(0.0, |wrong| wrong.count(now)) + 1.0;
        networks.insert(network, Wrong { count, last: now });
    }

    /// Forgets networks whose wrong tokens are forgiven. Returns how many wrong tokens there were
    /// since the last time.
    pub(crate) fn sweep(&self) -> u64 {
        let now = Instant::now();
        let mut networks = self.networks.lock();
        networks.retain(|_, wrong| wrong.count(now) > 0.0);
        if networks.is_empty() {
            networks.shrink_to_fit();
        }
        self.unreported.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: u16) -> Network {
        let [a, b] = number.to_be_bytes();
        Network::of([10, a, b, 1].into())
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_tokens_delay_their_network_longer_each_time_and_are_forgiven() {
        let wrong = WrongTokens::default();
        for _ in 0..4 {
            wrong.count(network(1));
        }
        assert_eq!(wrong.delay(network(1)), Duration::ZERO);
        for expected in [100, 200, 400, 800, 1_600, 2_000, 2_000] {
            wrong.count(network(1));
            let expected = Duration::from_millis(expected);
            assert_eq!(wrong.delay(network(1)), expected);
        }
        assert_eq!(wrong.delay(network(2)), Duration::ZERO);
        assert_eq!((wrong.sweep(), wrong.sweep()), (11, 0));
        tokio::time::advance(Duration::from_secs(14)).await;
        assert_eq!(wrong.delay(network(1)), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(8)).await;
        wrong.sweep();
        assert!(wrong.networks.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_networks_are_remembered_than_the_limit() {
        let wrong = WrongTokens::default();
        for number in 0..5_000 {
            tokio::time::advance(Duration::from_micros(1)).await;
            wrong.count(network(number));
        }
        let networks = wrong.networks.lock();
        assert_eq!(networks.len(), NETWORKS);
        assert!(networks.contains_key(&network(4_999)));
        assert!(!networks.contains_key(&network(0)));
    }
}
