//! [`Metrics`]: the figures that a server reports, at one moment or at their most.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Result;
use qsse_testing::process;

/// What the names of all metrics begin with.
const PREFIX: &str = "qsse_qsse_";

/// Metrics with a series for each topic, among them those of the honest clients.
const BY_TOPIC: [&str; 2] = ["event_count{", "subscriber_count{"];

/// The figures of a server, by name and labels, without the prefix.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Asks the server.
    pub(crate) fn ask(address: SocketAddr) -> Result<Self> {
        Ok(Self::parse(&process::metrics(address)?))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.strip_prefix(PREFIX));
        let lines = lines.filter(|line| !BY_TOPIC.iter().any(|name| line.starts_with(name)));
        let values = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.replace('"', ""), value.parse().ok()?))
        });
        Self(values.collect())
    }

    /// Returns one figure; 0 if the server does not report it.
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Takes over what is more.
    pub(crate) fn raise(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            let most = self.0.entry(name.clone()).or_insert(*value);
            *most = most.max(*value);
        }
    }

    /// Returns how much each figure has risen since `before`, if it has.
    pub(crate) fn risen_since(&self, before: &Self) -> BTreeMap<String, f64> {
        let rise = |(name, value): (&String, &f64)| (name.clone(), value - before.get(name));
        let risen = self.0.iter().map(rise);
        risen.filter(|(_, rise)| *rise > 0.0).collect()
    }
}

/// Returns those that rose by more than `usual`, as much as the honest clients explain.
pub(crate) fn unusual(
    risen: BTreeMap<String, f64>,
    usual: &BTreeMap<String, f64>,
    factor: f64,
) -> BTreeMap<String, f64> {
    let explained = |name: &str| factor * usual.get(name).copied().unwrap_or_default();
    let rises = risen.into_iter();
    rises
        .filter(|(name, rise)| *rise > explained(name))
        .collect()
}

/// Whether one of the metrics in `wanted` is among these. A wanted name that ends in `{` stands for
/// all labels.
pub(crate) fn shows(risen: &BTreeMap<String, f64>, wanted: &[&str]) -> bool {
    let is_wanted = |name: &String| {
        wanted
            .iter()
            .any(|wanted| name == wanted || (wanted.ends_with('{') && name.starts_with(wanted)))
    };
    risen.keys().any(is_wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "HTTP/1.1 200 OK\r\n\r\n# TYPE qsse_qsse_feeds gauge\nqsse_qsse_feeds 3\n\
        qsse_qsse_refused{what=\"publish\",code=\"FORBIDDEN\"} 7\n\
        qsse_qsse_event_count{topic=\"a\"} 9\n";

    fn rises(rises: &[(&str, f64)]) -> BTreeMap<String, f64> {
        let owned = rises.iter().map(|(name, rise)| ((*name).to_owned(), *rise));
        owned.collect()
    }

    #[test]
    fn figures_are_read_with_their_labels_and_without_topics() {
        let metrics = Metrics::parse(TEXT);
        let expected = [
            ("feeds", 3.0),
            ("refused{what=publish,code=FORBIDDEN}", 7.0),
        ];
        assert_eq!(metrics, Metrics(rises(&expected)));
        assert_eq!(metrics.get("topics"), 0.0);
    }

    #[test]
    fn only_what_rises_unusually_shows_an_attack() {
        let before = Metrics(rises(&[("a", 1.0), ("b", 5.0), ("refused{x}", 0.0)]));
        let mut most = before.clone();
        most.raise(&Metrics(rises(&[
            ("a", 9.0),
            ("b", 4.0),
            ("refused{x}", 2.0),
        ])));
        let risen = most.risen_since(&before);
        assert_eq!(risen, rises(&[("a", 8.0), ("refused{x}", 2.0)]));
        let unusual = unusual(risen, &rises(&[("a", 3.0)]), 3.0);
        assert_eq!(unusual, rises(&[("refused{x}", 2.0)]));
        assert!(shows(&unusual, &["b", "refused{"]));
        assert!(!shows(&unusual, &["a", "refused"]));
    }
}
