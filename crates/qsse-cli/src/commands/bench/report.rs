//! [`Report`]: the result, for people and for programs.

use serde::Serialize;

use super::figures::Latency;
use crate::text::{counted, thousands};

/// The result. Its JSON keys are stable.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) subscribers: usize,
    pub(super) publishers: usize,
    pub(super) connections: usize,
    /// The requested events per second; 0 means as fast as they are acknowledged.
    pub(super) rate: u64,
    pub(super) size: usize,
    /// The requested length of the measured part.
    pub(super) seconds: f64,
    /// Whether the run ended early.
    pub(super) interrupted: bool,
    pub(super) reconnects: u64,
    /// Absent with `--subscribe-only`.
    pub(super) published: Option<Published>,
    /// Absent with `--publish-only`.
    pub(super) delivered: Option<Delivered>,
}

#[derive(Debug, Serialize)]
pub(super) struct Published {
    /// Events acknowledged after the warm-up.
    pub(super) events: u64,
    pub(super) per_second: f64,
    /// Events sent and not acknowledged, including the warm-up.
    pub(super) unacknowledged: u64,
    /// Events that were due and not sent, because too many waited for their acknowledgement.
    pub(super) not_sent: u64,
    /// The time from when an event was due to its acknowledgement.
    pub(super) latency_us: Option<Latency>,
}

#[derive(Debug, Serialize)]
pub(super) struct Delivered {
    /// Deliveries after the warm-up.
    pub(super) events: u64,
    pub(super) per_second: f64,
    /// Of all events, including the warm-up.
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) misordered: u64,
    pub(super) gaps: u64,
    pub(super) foreign: u64,
    /// The time from when an event was due to when it was handed out.
    pub(super) latency_us: Option<Latency>,
    /// Whether the publishers are elsewhere, so that the latency includes the difference of the
    /// clocks.
    pub(super) other_clock: bool,
}

impl Report {
    pub(super) fn text(&self) -> String {
        let mut out = Vec::new();
        if let Some(published) = &self.published {
            out.push(format!(
                "published   {} acknowledged, {} a second",
                counted(published.events, "event"),
                whole(published.per_second),
            ));
            out.push(latency("  due to acknowledged", published.latency_us));
            for (count, what) in [
                (published.unacknowledged, "not acknowledged"),
                (
                    published.not_sent,
                    "due and not sent: the server, this machine or --in-flight was too slow for the rate",
                ),
            ] {
                if count > 0 {
                    out.push(format!("  {} {what}", counted(count, "event")));
                }
            }
        }
        if let Some(delivered) = &self.delivered {
            out.push(format!(
                "delivered   {}, {} a second, to {}",
                counted(delivered.events, "event"),
                whole(delivered.per_second),
                counted(self.subscribers as u64, "subscriber"),
            ));
            let what = if delivered.other_clock {
                "  due to received, by two machines' clocks where they differ"
            } else {
                "  due to received"
            };
            out.push(latency(what, delivered.latency_us));
            out.push(format!(
                "  {} lost, {} duplicated, {} out of order, {} told",
                thousands(delivered.lost),
                thousands(delivered.duplicated),
                thousands(delivered.misordered),
                counted(delivered.gaps, "gap"),
            ));
            if delivered.foreign > 0 {
                out.push(format!(
                    "  {} of other programs, not counted",
                    counted(delivered.foreign, "event")
                ));
            }
        }
        if self.reconnects > 0 {
            out.push(format!(
                "connections were lost and made again {}",
                counted(self.reconnects, "time")
            ));
        }
        out.join("\n")
    }

    /// Returns whether every acknowledged event was delivered once and in order.
    pub(super) fn is_whole(&self) -> bool {
        let at_fault =
            |delivered: &Delivered| delivered.lost + delivered.duplicated + delivered.misordered;
        self.delivered
            .as_ref()
            .is_none_or(|delivered| at_fault(delivered) == 0)
    }

    pub(super) fn unacknowledged(&self) -> u64 {
        self.published
            .as_ref()
            .map_or(0, |published| published.unacknowledged)
    }
}

fn whole(number: f64) -> String {
    thousands(number.round() as u64)
}

fn latency(what: &str, latency: Option<Latency>) -> String {
    let Some(Latency {
        p50,
        p90,
        p99,
        p99_9,
        max,
        ..
    }) = latency
    else {
        return format!("{what}: nothing");
    };
    let millis = [p50, p90, p99, p99_9, max].map(|micros| format!("{:.2}", micros / 1e3));
    let [p50, p90, p99, p99_9, max] = millis;
    format!("{what}: 50% {p50} ms, 90% {p90} ms, 99% {p99} ms, 99.9% {p99_9} ms, max {max} ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_of_the_document() {
        let report = Report {
            subscribers: 1,
            publishers: 0,
            connections: 1,
            rate: 0,
            size: 128,
            seconds: 1.0,
            interrupted: false,
            reconnects: 0,
            published: None,
            delivered: Some(Delivered {
                events: 2,
                per_second: 2.0,
                lost: 0,
                duplicated: 0,
                misordered: 1,
                gaps: 0,
                foreign: 0,
                latency_us: None,
                other_clock: true,
            }),
        };
        assert!(!report.is_whole());
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            "{\"subscribers\":1,\"publishers\":0,\"connections\":1,\"rate\":0,\"size\":128,\"seconds\":1.0,\
             \"interrupted\":false,\"reconnects\":0,\"published\":null,\"delivered\":{\"events\":2,\"per_second\":2.0,\
             \"lost\":0,\"duplicated\":0,\"misordered\":1,\"gaps\":0,\"foreign\":0,\"latency_us\":null,\"other_clock\":true}}"
        );
        assert!(
            report.text().contains("1 out of order"),
            "{}",
            report.text()
        );
    }
}
