//! [`Member`]: the quotas that a connection counts in.

use std::net::SocketAddr;
use std::sync::Arc;

use qsse_proto::{Code, Counted};
use qsse_transport::Network;
use tokio::time::Instant;

use crate::auth::{Principal, PrincipalLimits};
use crate::config::Config;
use crate::dedup_scope;
use crate::fairness::quota::{Full, Owner, Place, Quota};
use crate::shared::Shared;

/// The quotas that a connection counts in: those of its principal and of its network, as far as
/// they have limits.
pub(crate) struct Member {
    quotas: Vec<Arc<Quota>>,
    /// The connection itself, in the quota of its principal.
    _connection: Option<Place>,
}

/// A quota is used up. It says how to refuse what exceeds it.
pub(crate) struct Excess {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// Counts a connection in the quota of its network, from its handshake to its end.
///
/// # Errors
/// The network has as many as it may have.
pub(crate) fn connect(shared: &Shared, address: SocketAddr) -> Result<Option<Place>, Excess> {
    let quota = of_network(shared, &shared.limits(), address);
    let place = quota.map(|quota| quota.connect()).transpose();
    place.map_err(|Full { most, what }| {
        let message = format!(
            "your network has {}, as many as it may: close one, or try again later",
            Counted(most, what)
        );
        Excess {
            code: Code::BUSY,
            message,
        }
    })
}

fn of_network(shared: &Shared, config: &Config, address: SocketAddr) -> Option<Arc<Quota>> {
    let network = Network::of(address.ip());
    let owner = Owner::Network(network);
    shared.quotas.of(owner, config.network_limits)
}

fn of_principal(
    shared: &Shared,
    config: &Config,
    principal: &Principal,
    address: SocketAddr,
) -> Option<Arc<Quota>> {
    let namespace = principal.namespace();
    let namespace = namespace.as_ref().map(|prefix| prefix.as_str());
    let number = dedup_scope::number(principal.identity(), namespace);
    let mut limits = limits_of(principal.limits(), config.principal_limits);
    if number > 0 {
        return shared.quotas.of(Owner::Principal(number), limits);
    }
    // Those that are not identified are not one: their networks have quotas. But their patterns
    // take memory that all share, so they are counted.
    let patterns = limits.patterns;
    limits = PrincipalLimits::default();
    limits.patterns = patterns;
    let network = Network::of(address.ip());
    shared.quotas.of(Owner::Unidentified(network), limits)
}

/// Returns the principal's own limits, and those of the server where it has none.
fn limits_of(own: PrincipalLimits, server: PrincipalLimits) -> PrincipalLimits {
    let mut limits = own;
    limits.connections = own.connections.or(server.connections);
    limits.subscriptions = own.subscriptions.or(server.subscriptions);
    limits.patterns = own.patterns.or(server.patterns);
    limits.publishes_per_second = own.publishes_per_second.or(server.publishes_per_second);
    limits.bytes_per_second = own.bytes_per_second.or(server.bytes_per_second);
    limits
}

impl Member {
    /// Counts a connection in the quota of its principal.
    ///
    /// # Errors
    /// The principal has as many connections as it may have.
    pub(crate) fn new(
        shared: &Shared,
        address: SocketAddr,
        principal: &Principal,
    ) -> Result<Self, Excess> {
        let config = shared.limits();
        let principal = of_principal(shared, &config, principal, address);
        let place = principal.as_ref().map(Quota::connect).transpose();
        let place = place.map_err(|Full { most, what }| {
            let message = format!(
                "your token has {} open, as many as it may: close one, or try again later",
                Counted(most, what)
            );
            Excess {
                code: Code::BUSY,
                message,
            }
        })?;
        let network = of_network(shared, &config, address);
        Ok(Self {
            quotas: principal.into_iter().chain(network).collect(),
            _connection: place,
        })
    }

    /// Counts a subscription with this many patterns.
    ///
    /// # Errors
    /// The principal or the network has as many as it may have.
    pub(crate) fn subscribe(&self, patterns: u32) -> Result<Vec<Place>, Excess> {
        let places = self.quotas.iter().map(|quota| quota.subscribe(patterns));
        let places: Result<Vec<_>, _> = places.collect();
        places.map_err(|Full { most, what }| {
            let message = format!(
                "your token or network may have {} on all connections: end a subscription",
                Counted(most, what)
            );
            Excess {
                code: Code::TOO_MANY_SUBSCRIPTIONS,
                message,
            }
        })
    }

    /// Counts events that were published. Returns when the next may be, if not now.
    pub(crate) fn publish(&self, events: usize, bytes: usize) -> Option<Instant> {
        let paced = self.quotas.iter();
        paced.filter_map(|quota| quota.publish(events, bytes)).max()
    }

    /// Returns whether publishes have to be counted.
    pub(crate) fn paces(&self) -> bool {
        self.quotas.iter().any(|quota| quota.paces())
    }
}
