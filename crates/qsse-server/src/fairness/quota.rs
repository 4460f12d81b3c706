//! [`Quotas`]: how much one principal, or one network, uses of the server.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use qsse_transport::Network;
use tokio::time::Instant;

use crate::auth::PrincipalLimits;
use crate::fairness::rate_limit::RateLimit;

/// Whose use is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// The principal with this number.
    Principal(u64),
    Network(Network),
}

/// The quotas in use. There is one for each owner that has limits and an open connection.
#[derive(Default)]
pub(crate) struct Quotas(Mutex<HashMap<Owner, Weak<Quota>>>);

/// What one owner uses, and its limits.
pub(crate) struct Quota {
    limits: PrincipalLimits,
    connections: AtomicU32,
    subscriptions: AtomicU32,
    publishes: Option<Mutex<RateLimit>>,
    bytes: Option<Mutex<RateLimit>>,
}

/// One connection or subscription in a quota, until it is dropped.
pub(crate) struct Place {
    quota: Arc<Quota>,
    counted: Counted,
}

type Counted = fn(&Quota) -> &AtomicU32;

/// A quota has no room. It holds the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) u32);

impl Quotas {
    /// Returns the quota of an owner; `None` if it has no limits.
    pub(crate) fn of(&self, owner: Owner, limits: PrincipalLimits) -> Option<Arc<Quota>> {
        if !is_limited(limits) {
            return None;
        }
        let mut quotas = self.0.lock();
        if let Some(quota) = quotas.get(&owner).and_then(Weak::upgrade)
            && quota.limits == limits
        {
            return Some(quota);
        }
        let quota = Arc::new(Quota::new(limits));
        quotas.insert(owner, Arc::downgrade(&quota));
        Some(quota)
    }

    /// Forgets the owners that use nothing any more.
    pub(crate) fn sweep(&self) {
        let mut quotas = self.0.lock();
        quotas.retain(|_, quota| quota.strong_count() > 0);
        if quotas.is_empty() {
            quotas.shrink_to_fit();
        }
    }
}

fn is_limited(limits: PrincipalLimits) -> bool {
    limits.connections.is_some() || limits.subscriptions.is_some() || paces(limits)
}

fn paces(limits: PrincipalLimits) -> bool {
    limits.publishes_per_second.is_some() || limits.bytes_per_second.is_some()
}

impl Quota {
    fn new(limits: PrincipalLimits) -> Self {
        // A burst of one second.
        let rate = |rate: f64| Mutex::new(RateLimit::of(rate, rate));
        Self {
            limits,
            connections: AtomicU32::new(0),
            subscriptions: AtomicU32::new(0),
            publishes: limits.publishes_per_second.map(|most| rate(most.into())),
            bytes: limits.bytes_per_second.map(|most| rate(most as f64)),
        }
    }

    /// Counts a connection.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(crate) fn connect(self: &Arc<Self>) -> Result<Place, Full> {
        self.take(|quota| &quota.connections, self.limits.connections)
    }

    /// Counts a subscription.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(crate) fn subscribe(self: &Arc<Self>) -> Result<Place, Full> {
        self.take(|quota| &quota.subscriptions, self.limits.subscriptions)
    }

    fn take(self: &Arc<Self>, counted: Counted, most: Option<u32>) -> Result<Place, Full> {
        let most = most.unwrap_or(u32::MAX);
        let more = |count: u32| (count < most).then(|| count + 1);
        let taken = counted(self).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map_err(|_| Full(most))?;
        Ok(Place {
            quota: Arc::clone(self),
            counted,
        })
    }

    /// Counts events that were published. Returns when the next may be, if not now.
    pub(crate) fn publish(&self, events: usize, bytes: usize) -> Option<Instant> {
        let spend = |limit: &Option<Mutex<RateLimit>>, count: usize| {
            limit.as_ref()?.lock().spend(count as f64)
        };
        spend(&self.publishes, events).max(spend(&self.bytes, bytes))
    }

    /// Returns whether publishes have to be counted.
    pub(crate) fn paces(&self) -> bool {
        paces(self.limits)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        (self.counted)(&self.quota).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_has_as_many_places_as_its_limits_say_and_they_come_back() {
        let quotas = Quotas::default();
        let limits = PrincipalLimits::default().connections(2).subscriptions(1);
        let of = |owner| quotas.of(owner, limits).unwrap();
        let one = of(Owner::Principal(1));
        let mut places = vec![
            one.connect().unwrap(),
            of(Owner::Principal(1)).connect().unwrap(),
        ];
        assert_eq!(one.connect().err(), Some(Full(2)));
        of(Owner::Principal(2)).connect().unwrap();
        places.push(one.subscribe().unwrap());
        assert_eq!(one.subscribe().err(), Some(Full(1)));
        places.clear();
        one.connect().unwrap();
        drop(one);
        quotas.sweep();
        assert!(quotas.0.lock().is_empty());
        let unlimited = PrincipalLimits::default();
        assert!(quotas.of(Owner::Principal(1), unlimited).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn publishes_are_paced_by_the_limit_that_takes_longer() {
        let limits = PrincipalLimits::default()
            .publishes_per_second(10)
            .bytes_per_second(1_000);
        let quota = Quota::new(limits);
        let start = Instant::now();
        let after = |seconds: f64| Some(start + std::time::Duration::from_secs_f64(seconds));
        assert_eq!(quota.publish(10, 0), None);
        assert_eq!(quota.publish(5, 1_000), after(0.5));
        assert_eq!(quota.publish(5, 3_000), after(3.0));
    }
}
