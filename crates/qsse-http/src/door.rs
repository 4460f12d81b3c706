//! [`Door`]: who gets one of a listener's places.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qsse_server::Server;
use qsse_server::transport::{Network, Places};
use qsse_server::visitor::{BindingCounter, BindingGauge, BindingGuard};

use crate::activity::{Activity, Ended};
use crate::limits::ListenerLimits;

/// How long a connection has had no request before it may have to make room: a round trip around
/// the world, and a lost packet.
const SILENT: Duration = Duration::from_millis(300);

/// The places of a listener.
#[derive(Clone)]
pub(crate) struct Door(Arc<Shared>);

struct Shared {
    limits: ListenerLimits,
    places: Mutex<Places<Arc<Activity>>>,
    open: BindingGauge,
    ended: Vec<(Ended, BindingCounter)>,
}

/// A connection's place, until it is dropped.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    id: u64,
    pub(crate) activity: Arc<Activity>,
    _open: BindingGuard,
}

impl Door {
    pub(crate) fn new(server: &Server, limits: ListenerLimits) -> Self {
        let ended = Ended::ALL.map(|why| {
            let about = "HTTP connections that were refused or ended, by the reason";
            let label = Some(("reason", why.name()));
            let counter = server.binding_counter("http_connections_ended", label, about);
            (why, counter)
        });
        Self(Arc::new(Shared {
            places: Mutex::new(Places::new(limits.connections)),
            limits,
            open: server.binding_gauge("http_connections", "HTTP connections"),
            ended: ended.into(),
        }))
    }

    /// Gives a client a place, for which another may have to leave; `None` if it gets none.
    ///
    /// It is then closed without an answer: an EventSource tries again after that, and gives up
    /// after any other.
    pub(crate) fn admit(&self, address: SocketAddr) -> Option<Seat> {
        let network = Network::of(address.ip());
        let mut places = self.0.places();
        if places.is_full() && !self.0.displace(&mut places, network) {
            self.0.count(Ended::Full);
            return None;
        }
        let activity = Activity::new();
        let id = places.add(network, Arc::clone(&activity));
        Some(Seat {
            shared: Arc::clone(&self.0),
            id,
            activity,
            _open: self.0.open.hold(),
        })
    }

    /// Ends a connection that has no request, if there is one.
    pub(crate) fn make_room(&self) {
        let nowhere = Network::of(Ipv4Addr::UNSPECIFIED.into());
        self.0.displace(&mut self.0.places(), nowhere);
    }
}

impl Shared {
    fn places(&self) -> MutexGuard<'_, Places<Arc<Activity>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn displace(&self, places: &mut Places<Arc<Activity>>, newcomer: Network) -> bool {
        let displaced = places.displace_for(newcomer, |activity| activity.is_idle_for(SILENT));
        if let Some(activity) = &displaced {
            activity.end(Ended::Displaced);
        }
        displaced.is_some()
    }

    fn count(&self, why: Ended) {
        if let Some((_, counter)) = self.ended.iter().find(|(own, _)| *own == why) {
            counter.add(1);
        }
    }
}

impl Seat {
    pub(crate) fn limits(&self) -> &ListenerLimits {
        &self.shared.limits
    }

    /// Counts why the connection ended.
    pub(crate) fn count(&self, why: Ended) {
        self.shared.count(why);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.places().remove(self.id);
    }
}
