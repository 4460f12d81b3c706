//! [`Registry`]: where metrics are registered, and the handles of one metric.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder, Unit};

use crate::config::Config;

/// One counter, on every recorder.
#[derive(Clone)]
pub(crate) struct Counters(Vec<Counter>);

/// One gauge, on every recorder.
#[derive(Clone)]
pub(crate) struct Gauges(Vec<Gauge>);

impl Counters {
    pub(crate) fn add(&self, count: u64) {
        for counter in &self.0 {
            let _ = contained(|| counter.increment(count));
        }
    }
}

impl Gauges {
    pub(crate) fn add(&self, change: f64) {
        for gauge in &self.0 {
            let _ = contained(|| gauge.increment(change));
        }
    }

    pub(super) fn set(&self, value: usize) {
        for gauge in &self.0 {
            let _ = contained(|| gauge.set(value as f64));
        }
    }

    /// Adds one, until the guard is dropped.
    pub(crate) fn hold(&self) -> GaugeGuard {
        self.add(1.0);
        GaugeGuard(vec![self.clone()])
    }
}

/// Counts one in some gauges until it is dropped.
pub(crate) struct GaugeGuard(pub(super) Vec<Gauges>);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.iter().for_each(|gauge| gauge.add(-1.0));
    }
}

/// A recorder that is shared.
pub(crate) type SharedRecorder = Arc<dyn Recorder + Send + Sync>;

/// Where metrics are registered: the given recorder or the process's, and our own, which prints
/// them.
pub(super) struct Registry {
    prefix: String,
    given: Option<SharedRecorder>,
    #[cfg(feature = "prometheus")]
    recorder: metrics_exporter_prometheus::PrometheusRecorder,
    #[cfg(feature = "prometheus")]
    prometheus: metrics_exporter_prometheus::PrometheusHandle,
}

impl Registry {
    pub(super) fn new(config: &Config, given: Option<SharedRecorder>) -> Self {
        #[cfg(feature = "prometheus")]
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        Self {
            prefix: format!("{}_{}_", config.namespace, config.subsystem),
            given,
            #[cfg(feature = "prometheus")]
            prometheus: recorder.handle(),
            #[cfg(feature = "prometheus")]
            recorder,
        }
    }

    /// Returns the metrics in Prometheus' text format.
    #[cfg(feature = "prometheus")]
    pub(super) fn render(&self) -> String {
        self.prometheus.render()
    }

    pub(super) fn counter(
        &self,
        name: &str,
        labels: Vec<Label>,
        unit: Unit,
        about: &'static str,
    ) -> Counters {
        let name = format!("{}{name}", self.prefix);
        let key = Key::from_parts(name.clone(), labels);
        let register = |recorder: &dyn Recorder| {
            recorder.describe_counter(name.clone().into(), Some(unit), about.into());
            recorder.register_counter(&key, &METADATA)
        };
        Counters(self.on_each(register, Counter::noop))
    }

    pub(super) fn gauge(
        &self,
        name: &str,
        labels: Vec<Label>,
        unit: Unit,
        about: &'static str,
    ) -> Gauges {
        let name = format!("{}{name}", self.prefix);
        let key = Key::from_parts(name.clone(), labels);
        let register = |recorder: &dyn Recorder| {
            recorder.describe_gauge(name.clone().into(), Some(unit), about.into());
            recorder.register_gauge(&key, &METADATA)
        };
        Gauges(self.on_each(register, Gauge::noop))
    }

    fn on_each<T>(&self, register: impl Fn(&dyn Recorder) -> T, none: fn() -> T) -> Vec<T> {
        let handle = contained(|| match &self.given {
            Some(recorder) => register(recorder.as_ref()),
            None => metrics::with_recorder(|recorder| register(recorder)),
        });
        let mut handles = vec![handle.unwrap_or_else(none)];
        #[cfg(feature = "prometheus")]
        handles.push(register(&self.recorder));
        handles.shrink_to_fit();
        handles
    }
}

/// Calls a recorder, which is foreign code and called in every task, also while one unwinds. If it
/// panics, a metric is wrong and nothing else happens.
fn contained<T>(call: impl FnOnce() -> T) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(call));
    if result.is_err() {
        tracing::error!("the metrics recorder panicked: a metric is wrong from now on");
    }
    result.ok()
}

static METADATA: Metadata<'static> = Metadata::new("qsse_server", Level::INFO, None);
