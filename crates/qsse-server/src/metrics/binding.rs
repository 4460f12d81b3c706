//! Metrics of bindings of other protocols, beside the server's own.

use std::fmt;

use metrics::{Label, Unit};

use super::Metrics;
use super::registry::{Counters, GaugeGuard, Gauges};
use crate::server::Server;

/// A counter among the metrics of a server. Made by [`Server::binding_counter`]; a cheap handle.
#[derive(Clone)]
pub struct BindingCounter(Counters);

/// A gauge among the metrics of a server. Made by [`Server::binding_gauge`]; a cheap handle.
#[derive(Clone)]
pub struct BindingGauge(Gauges);

/// Counts one in a [`BindingGauge`] until it is dropped.
pub struct BindingGuard(#[expect(dead_code, reason = "it counts while it lives")] GaugeGuard);

impl BindingCounter {
    /// Adds to the counter.
    pub fn add(&self, count: u64) {
        self.0.add(count);
    }
}

impl BindingGauge {
    /// Adds one until the guard is dropped.
    pub fn hold(&self) -> BindingGuard {
        BindingGuard(self.0.hold())
    }
}

macro_rules! opaque {
    ($($name:ident)+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )+};
}

opaque! { BindingCounter BindingGauge BindingGuard }

impl Server {
    /// Registers a counter of a binding under the server's prefix: `http_requests` becomes
    /// `qsse_qsse_http_requests`. `label` is the name and value of its label, if it has one.
    ///
    /// Register each name once for each value of its label. Values must be few and never come from
    /// clients.
    pub fn binding_counter(
        &self,
        name: &str,
        label: Option<(&'static str, &'static str)>,
        about: &'static str,
    ) -> BindingCounter {
        self.shared().metrics.binding_counter(name, label, about)
    }

    /// Registers a gauge of a binding under the server's prefix.
    pub fn binding_gauge(&self, name: &str, about: &'static str) -> BindingGauge {
        self.shared().metrics.binding_gauge(name, about)
    }
}

impl Metrics {
    fn binding_counter(
        &self,
        name: &str,
        label: Option<(&'static str, &'static str)>,
        about: &'static str,
    ) -> BindingCounter {
        let label = label.map(|(name, value)| Label::from_static_parts(name, value));
        let labels = label.into_iter().collect();
        BindingCounter(self.registry.counter(name, labels, Unit::Count, about))
    }

    fn binding_gauge(&self, name: &str, about: &'static str) -> BindingGauge {
        BindingGauge(self.registry.gauge(name, vec![], Unit::Count, about))
    }
}
