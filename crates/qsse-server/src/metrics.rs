//! The metrics of a server.

use std::collections::HashMap;

use metrics::{Label, Unit};
use parking_lot::Mutex;
use qsse_log::Log;
use qsse_proto::Code;
use qsse_topic::{Filter, Topic};

use crate::config::Config;
use crate::topics::Topics;

mod binding;
mod contents;
mod door;
mod paced;
mod registry;
mod unfinished;

pub use binding::{BindingCounter, BindingGauge, BindingGuard};
use contents::Contents;
use door::Door;
use paced::Paced;
use registry::{Counters, Gauges, Registry};
pub(crate) use registry::{GaugeGuard, SharedRecorder};
pub(crate) use unfinished::Unfinished;

/// The label of topics beyond the limit.
const OTHER: &str = "_other";

/// The most topics whose counters are updated in one step. Other tasks run in between.
const COUNTED_AT_ONCE: usize = 1_024;

/// The handles of all metrics, registered once.
pub(crate) struct Metrics {
    registry: Registry,
    max_topic_labels: usize,
    by_topic: Mutex<HashMap<String, ByTopic>>,
    refused: Mutex<HashMap<(&'static str, u64), Counters>>,
    pub(crate) door: Door,
    pub(crate) connections: Gauges,
    pub(crate) connections_total: Counters,
    pub(crate) handshakes_failed: Counters,
    pub(crate) subscriptions: Gauges,
    pub(crate) lagging: Gauges,
    pub(crate) lag_total: Counters,
    pub(crate) gaps: Counters,
    pub(crate) shed_feed_bytes: Counters,
    pub(crate) shed_history_bytes: Counters,
    pub(crate) shed_subscriptions: Counters,
    pub(crate) delivered_events: Counters,
    pub(crate) delivered_bytes: Counters,
    pub(crate) received_bytes: Counters,
    pub(crate) published_network: Counters,
    pub(crate) duplicates: Counters,
    pub(crate) paced: Paced,
    pub(crate) unfinished: Unfinished,
    pub(crate) audit_dropped: Counters,
    pub(crate) reloads: Counters,
    pub(crate) reload_failures: Counters,
    pub(crate) go_connections: Gauges,
    pub(crate) go_unsent_events: Counters,
    contents: Contents,
}

/// The two metrics of the Go library, for one label.
#[derive(Clone)]
struct ByTopic {
    events: Counters,
    subscribers: Gauges,
}

impl Metrics {
    pub(crate) fn new(config: &Config, topics: &Topics, recorder: Option<SharedRecorder>) -> Self {
        let registry = Registry::new(config, recorder);
        let counter = |name, about| registry.counter(name, vec![], Unit::Count, about);
        let gauge = |name, about| registry.gauge(name, vec![], Unit::Count, about);
        let metrics = Self {
            door: Door::new(&registry),
            connections: gauge("connections", "Connections that are open"),
            connections_total: counter("connections_total", "Connections that were accepted"),
            handshakes_failed: counter("handshakes_failed", "Handshakes that failed"),
            subscriptions: gauge("subscriptions", "Subscriptions of clients"),
            lagging: gauge("lagging", "Subscriptions that are behind their feed"),
            lag_total: counter(
                "lag_total",
                "Times that a subscription fell behind its live feed",
            ),
            gaps: counter("gaps", "Gaps reported to subscribers"),
            shed_feed_bytes: counter(
                "shed_feed_bytes",
                "Bytes of feeds without readers that were released because memory was scarce",
            ),
            shed_history_bytes: counter(
                "shed_history_bytes",
                "Bytes of history that were released because memory was scarce",
            ),
            shed_subscriptions: counter(
                "shed_subscriptions",
                "Subscriptions that were ended because their clients did not read",
            ),
            delivered_events: counter("delivered_events", "Events written to subscribers"),
            delivered_bytes: counter("delivered_bytes", "Bytes of batches written to subscribers"),
            received_bytes: counter("received_bytes", "Bytes of event data published by clients"),
            published_network: counter("published_network", "Events published by clients"),
            duplicates: counter("duplicates", "Repeated publishes, recognised by their key"),
            paced: Paced::new(&registry),
            unfinished: Unfinished::new(&registry),
            audit_dropped: counter("audit_dropped", "Records that the audit log did not take"),
            reloads: counter("reloads", "Reloads of the configuration that succeeded"),
            reload_failures: counter(
                "reload_failures",
                "Reloads of the configuration that failed and changed nothing",
            ),
            go_connections: gauge("go_connections", "Connections of clients of the Go library"),
            go_unsent_events: counter(
                "go_unsent_events",
                "Events on the topic error, which cannot be sent to Go clients",
            ),
            contents: Contents::new(&registry),
            max_topic_labels: config.max_topic_labels,
            by_topic: Mutex::default(),
            refused: Mutex::default(),
            registry,
        };
        for declared in topics.declared() {
            metrics.by_topic(declared.as_str(), usize::MAX);
        }
        metrics
    }

    /// Counts a refusal: of a connection, a subscription or a publish.
    pub(crate) fn refuse(&self, what: &'static str, code: Code) {
        let mut refused = self.refused.lock();
        let counters = refused.entry((what, code.get())).or_insert_with(|| {
            let code = code
                .name()
                .map_or_else(|| code.get().to_string(), str::to_owned);
            let labels = vec![
                Label::from_static_parts("what", what),
                Label::new("code", code),
            ];
            self.registry
                .counter("refused", labels, Unit::Count, "Refusals by code")
        });
        counters.add(1);
    }

    /// Counts a subscriber of each label whose topics its filter may match.
    pub(crate) fn subscribe(&self, filter: &Filter, topics: &Topics) -> GaugeGuard {
        let mut held = vec![self.subscriptions.clone()];
        if topics.is_open() {
            held.extend(self.of_published(filter));
        } else {
            let declared = topics
                .declared()
                .filter(|declared| filter.intersects(*declared));
            let names = declared.map(|declared| declared.as_str());
            held.extend(names.map(|name| self.by_topic(name, usize::MAX).subscribers));
        }
        held.iter().for_each(|gauge| gauge.add(1.0));
        GaugeGuard(held)
    }

    /// Returns the gauges of the topics of a filter that were published, and once that of all
    /// others. What a client only asks for makes no label.
    fn of_published(&self, filter: &Filter) -> Vec<Gauges> {
        let patterns = filter.patterns();
        let by_topic = self.by_topic.lock();
        let known = patterns
            .iter()
            .filter_map(|pattern| by_topic.get(pattern.as_str()));
        let mut gauges: Vec<_> = known.map(|known| known.subscribers.clone()).collect();
        drop(by_topic);
        if gauges.len() < patterns.len() {
            gauges.push(self.by_topic(OTHER, usize::MAX).subscribers);
        }
        gauges
    }

    /// Updates the counters of topics from the log, for some topics. Returns false if there are no
    /// more.
    pub(crate) fn count_published(&self, log: &Log, topics: &Topics) -> bool {
        let published = log.take_published(COUNTED_AT_ONCE);
        for (topic, count) in &published {
            self.of_topic(topic, topics).events.add(*count);
        }
        published.len() == COUNTED_AT_ONCE
    }

    /// Updates the gauges from the log.
    pub(crate) fn collect(&self, log: &Log) {
        self.contents.collect(&log.stats());
    }

    /// Returns the metrics in Prometheus' text format.
    #[cfg(feature = "prometheus")]
    pub(crate) fn text(&self) -> String {
        self.registry.render()
    }

    fn of_topic(&self, topic: &Topic, topics: &Topics) -> ByTopic {
        if topics.is_open() {
            return self.by_topic(topic.as_str(), self.max_topic_labels);
        }
        let label = topics.declared_as(topic.as_topic_ref());
        self.by_topic(label.map_or(OTHER, |pattern| pattern.as_str()), usize::MAX)
    }

    /// Returns the handles of a label, or of `_other` once there are `cap` labels.
    fn by_topic(&self, name: &str, cap: usize) -> ByTopic {
        let mut by_topic = self.by_topic.lock();
        if let Some(known) = by_topic.get(name) {
            return known.clone();
        }
        let labels = by_topic.len() - usize::from(by_topic.contains_key(OTHER));
        let name = if labels >= cap { OTHER } else { name };
        let new = || {
            let labels = || vec![Label::new("topic", name.to_owned())];
            let about = "Events published on a topic";
            let events = self
                .registry
                .counter("event_count", labels(), Unit::Count, about);
            let about = "Subscribers of a topic";
            let subscribers = self
                .registry
                .gauge("subscriber_count", labels(), Unit::Count, about);
            ByTopic {
                events,
                subscribers,
            }
        };
        by_topic.entry(name.to_owned()).or_insert_with(new).clone()
    }
}
