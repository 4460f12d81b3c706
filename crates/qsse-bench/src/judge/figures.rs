//! What is read off a run in more than one scenario.

use super::report::Figure;

/// How busy the server's core was.
pub(super) const SERVER_CORES: Figure = Figure {
    key: "server_cores",
    title: "server's CPU",
    of: |sample| sample.server_cores,
    digits: 2,
    more_is_better: false,
};

/// How busy the clients' core was.
pub(super) const CLIENT_CORES: Figure = Figure {
    key: "client_cores",
    title: "clients' CPU",
    of: |sample| sample.client_cores,
    digits: 2,
    more_is_better: false,
};

/// Whether everybody got as much.
pub(super) const SLOWEST_SHARE: Figure = Figure {
    key: "slowest_share",
    title: "slowest/mean",
    of: |sample| sample.slowest_share,
    digits: 2,
    more_is_better: true,
};

/// All deliveries.
pub(super) const DELIVERIES: Figure = Figure {
    key: "deliveries_per_s",
    title: "deliveries/s",
    of: |sample| sample.per_s,
    digits: 0,
    more_is_better: true,
};

/// Half took at most this long.
pub(super) const P50: Figure = Figure {
    key: "p50_us",
    title: "p50 µs",
    of: |sample| sample.latency.p50,
    digits: 0,
    more_is_better: false,
};

/// 99 of 100 took at most this long.
pub(super) const P99: Figure = Figure {
    key: "p99_us",
    title: "p99 µs",
    of: |sample| sample.latency.p99,
    digits: 0,
    more_is_better: false,
};

/// 999 of 1,000 took at most this long.
pub(super) const P999: Figure = Figure {
    key: "p999_us",
    title: "p99.9 µs",
    of: |sample| sample.latency.p999,
    digits: 0,
    more_is_better: false,
};
