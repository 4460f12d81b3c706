//! [`Quotas`]: how much one principal, or one network, uses of the server.

use std::collections::HashMap;
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
    /// All clients of a network.
    Network(Network),
    /// The clients of a network that are not identified.
    Unidentified(Network),
}

/// The quotas in use. There is one for each owner that has limits and an open connection.
#[derive(Default)]
pub(crate) struct Quotas(Mutex<HashMap<Owner, Weak<Quota>>>);

/// What one owner uses, and its limits.
pub(crate) struct Quota {
    state: Mutex<State>,
}

struct State {
    /// Those that were stated last.
    limits: PrincipalLimits,
    used: Used,
    publishes: Option<RateLimit>,
    bytes: Option<RateLimit>,
}

/// What is in use at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    connections: u32,
    subscriptions: u32,
    patterns: u32,
}

/// A connection, or a subscription with its patterns, in a quota, until it is dropped.
pub(crate) struct Place {
    quota: Arc<Quota>,
    used: Used,
}

/// A quota has no room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// The limit.
    pub(crate) most: u32,
    /// What it limits, in the singular.
    pub(crate) what: &'static str,
}

impl Quotas {
    /// Returns the quota of an owner; `None` if it has no limits. If other limits were stated
    /// before, for this owner or by another token of it, these replace them. What is counted stays.
    pub(crate) fn of(&self, owner: Owner, limits: PrincipalLimits) -> Option<Arc<Quota>> {
        let mut quotas = self.0.lock();
        if let Some(quota) = quotas.get(&owner).and_then(Weak::upgrade) {
            quota.state.lock().set_limits(limits);
            return Some(quota);
        }
        if !is_limited(limits) {
            return None;
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
    let counted = limits.connections.or(limits.subscriptions);
    counted.or(limits.patterns).is_some() || paces(limits)
}

fn paces(limits: PrincipalLimits) -> bool {
    limits.publishes_per_second.is_some() || limits.bytes_per_second.is_some()
}

impl State {
    fn new(limits: PrincipalLimits) -> Self {
        // A burst of one second.
        let rate = |rate: f64| RateLimit::of(rate, rate);
        Self {
            limits,
            used: Used::default(),
            publishes: limits.publishes_per_second.map(|most| rate(most.into())),
            bytes: limits.bytes_per_second.map(|most| rate(most as f64)),
        }
    }

    fn set_limits(&mut self, limits: PrincipalLimits) {
        if self.limits != limits {
            let used = self.used;
            *self = Self {
                used,
                ..Self::new(limits)
            };
        }
    }
}

impl Quota {
    fn new(limits: PrincipalLimits) -> Self {
        let state = Mutex::new(State::new(limits));
        Self { state }
    }

    /// Counts a connection.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(crate) fn connect(self: &Arc<Self>) -> Result<Place, Full> {
        self.take(Used {
            connections: 1,
            ..Used::default()
        })
    }

    /// Counts a subscription with this many patterns.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(crate) fn subscribe(self: &Arc<Self>, patterns: u32) -> Result<Place, Full> {
        self.take(Used {
            subscriptions: 1,
            patterns,
            ..Used::default()
        })
    }

    fn take(self: &Arc<Self>, more: Used) -> Result<Place, Full> {
        let mut state = self.state.lock();
        let (used, limits) = (state.used, state.limits);
        let sum = |used: u32, more: u32, most: Option<u32>, what| {
            let most = most.unwrap_or(u32::MAX);
            let sum = used.checked_add(more).filter(|sum| *sum <= most);
            sum.ok_or(Full { most, what })
        };
        state.used = Used {
            connections: sum(
                used.connections,
                more.connections,
                limits.connections,
                "connection",
            )?,
            subscriptions: sum(
                used.subscriptions,
                more.subscriptions,
                limits.subscriptions,
                "subscription",
            )?,
            patterns: sum(used.patterns, more.patterns, limits.patterns, "pattern")?,
        };
        Ok(Place {
            quota: Arc::clone(self),
            used: more,
        })
    }

    /// Counts events that were published. Returns when the next may be, if not now.
    pub(crate) fn publish(&self, events: usize, bytes: usize) -> Option<Instant> {
        let mut state = self.state.lock();
        let publishes = state.publishes.as_mut();
        let publishes = publishes.and_then(|limit| limit.spend(events as f64));
        let bytes = state
            .bytes
            .as_mut()
            .and_then(|limit| limit.spend(bytes as f64));
        publishes.max(bytes)
    }

    /// Returns whether publishes have to be counted.
    pub(crate) fn paces(&self) -> bool {
        paces(self.state.lock().limits)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let used = &mut self.quota.state.lock().used;
        used.connections -= self.used.connections;
        used.subscriptions -= self.used.subscriptions;
        used.patterns -= self.used.patterns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_has_as_many_places_as_its_limits_say_and_they_come_back() {
        let quotas = Quotas::default();
        let limits = PrincipalLimits::default()
            .connections(2)
            .subscriptions(2)
            .patterns(5);
        let of = |owner| quotas.of(owner, limits).unwrap();
        let one = of(Owner::Principal(1));
        let mut places = vec![
            one.connect().unwrap(),
            of(Owner::Principal(1)).connect().unwrap(),
        ];
        let full = |most, what| Some(Full { most, what });
        assert_eq!(one.connect().err(), full(2, "connection"));
        of(Owner::Principal(2)).connect().unwrap();
        places.push(one.subscribe(3).unwrap());
        assert_eq!(one.subscribe(3).err(), full(5, "pattern"));
        places.push(one.subscribe(2).unwrap());
        assert_eq!(one.subscribe(0).err(), full(2, "subscription"));
        places.clear();
        assert_eq!(one.state.lock().used, Used::default());
        one.connect().unwrap();
        drop(one);
        quotas.sweep();
        assert!(quotas.0.lock().is_empty());
        let unlimited = PrincipalLimits::default();
        assert!(quotas.of(Owner::Principal(1), unlimited).is_none());
    }

    #[test]
    fn newer_limits_replace_the_older_ones_and_what_is_counted_stays() {
        let quotas = Quotas::default();
        let of = |connections| {
            let limits = PrincipalLimits::default().connections(connections);
            quotas.of(Owner::Principal(1), limits).unwrap()
        };
        let full = |most| {
            let what = "connection";
            Some(Full { most, what })
        };
        let _first = of(2).connect().unwrap();
        let _second = of(3).connect().unwrap();
        // Tokens with different limits do not each have a count of their own.
        assert_eq!(of(2).connect().err(), full(2));
        let _third = of(3).connect().unwrap();
        assert_eq!(of(1).connect().err(), full(1));
        let unlimited = quotas.of(Owner::Principal(1), PrincipalLimits::default());
        unlimited.unwrap().connect().unwrap();
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
