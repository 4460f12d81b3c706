//! Makes the configurations of server and client from the settings.

use qsse_client::{Config as ClientConfig, ReconnectPolicy, RetryPolicy};
use qsse_http::ListenerLimits;
use qsse_server::{Acknowledge, Config as ServerConfig, LogConfig, PrincipalLimits};

use anyhow::Result;

use super::Settings;
use super::table::retention;
use crate::exit::usage;

/// The settings that have a range, and their names in the configurations.
const RANGED: &[(&str, &str)] = &[
    ("limits.memory", "log.memory_bytes"),
    ("limits.event", "log.max_event_bytes"),
    ("limits.pending", "log.pending_bytes"),
    ("limits.connections", "transport.max_connections"),
    ("limits.idle_timeout", "transport.idle_timeout"),
    ("limits.send_window", "transport.send_window"),
    ("limits.subscriptions", "max_subscriptions"),
    ("limits.starts", "max_starts"),
    ("limits.patterns", "max_patterns"),
    ("limits.filters", "log.max_feeds"),
    ("limits.filter_bytes", "log.filters_bytes"),
    ("limits.publishers", "max_publishers"),
    ("limits.frame_timeout", "frame_timeout"),
    ("limits.refusals", "refusal_rate"),
    ("limits.hello_timeout", "hello_timeout"),
    ("limits.heartbeat", "heartbeat"),
    ("limits.http_connections", "http.connections"),
    ("limits.http_head_timeout", "http.head_timeout"),
    ("limits.http_idle_timeout", "http.idle_timeout"),
    ("limits.http_stall_timeout", "http.stall_timeout"),
    ("limits.http_streams", "http.streams"),
    ("limits.http_head", "http.head_bytes"),
    ("limits.topics", "log.max_topics"),
    ("limits.topics_per_publisher", "log.max_topics_per_owner"),
    ("limits.retry_after", "retry_after"),
    ("connect_timeout", "client.connect_timeout"),
    ("client.retry_interval", "client.retry.interval"),
    (
        "client.reconnect_first_delay",
        "client.reconnect.first_delay",
    ),
    ("client.reconnect_max_delay", "client.reconnect.max_delay"),
    ("client.idle_timeout", "client.transport.idle_timeout"),
];

/// Checks that server and client can work with the settings.
///
/// # Errors
/// The first setting that is out of range.
pub(super) fn check(settings: &Settings) -> Result<()> {
    let server = server_config(settings).check();
    let http = http_limits(settings).check();
    let http = http.map_err(|error| error.within("http"));
    let client = client_config(settings).check();
    let client = client.map_err(|error| error.within("client"));
    server.and(http).and(client).map_err(|error| {
        let known = RANGED.iter().find(|(_, name)| *name == error.name);
        let Some((key, _)) = known else {
            return usage(error.to_string());
        };
        let (source, given) = (&settings.value(key).source, settings.text(key));
        usage(format!(
            "{source}: {key} is {given}: it must be {}",
            error.allowed
        ))
    })
}

/// Returns the configuration of a client.
pub(crate) fn client_config(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::default();
    if let Some(timeout) = settings.duration("connect_timeout") {
        config.connect_timeout = timeout;
    }
    if settings.on("retry")
        && let Some(interval) = settings.duration("client.retry_interval")
    {
        config.retry = RetryPolicy::times(settings.need("client.retry_times"), interval);
    }
    config.reconnect = match (
        settings.on("reconnect"),
        settings.duration("client.reconnect_first_delay"),
        settings.duration("client.reconnect_max_delay"),
    ) {
        (true, Some(first), Some(max)) => ReconnectPolicy::backoff(first, max),
        _ => ReconnectPolicy::never(),
    };
    config.dialect = settings.need("dialect");
    config.agent = concat!("qsse/", env!("CARGO_PKG_VERSION")).into();
    if let Some(timeout) = settings.duration("client.idle_timeout") {
        config.transport.idle_timeout = timeout;
    }
    config.transport.keep_alive = settings.duration("client.keep_alive");
    config
}

/// Returns the limits of each principal or network; those that are not set are off.
fn limits(settings: &Settings, whose: &str) -> PrincipalLimits {
    let key = |what: &str| format!("limits.{whose}_{what}");
    let bytes = settings.text(&key("bytes"));
    let mut limits = PrincipalLimits::default();
    limits.connections = settings.get(&key("connections"));
    limits.subscriptions = settings.get(&key("subscriptions"));
    limits.patterns = settings.get(&key("patterns"));
    limits.publishes_per_second = settings.get(&key("publishes"));
    limits.bytes_per_second = (!bytes.is_empty()).then(|| settings.bytes(&key("bytes")));
    limits
}

/// Sets the limits of feeds.
fn limit_feeds(log: &mut LogConfig, settings: &Settings) {
    let bytes = |key| usize::try_from(settings.bytes(key)).unwrap_or(usize::MAX);
    log.feed_bytes = bytes("limits.feed");
    log.feeds_bytes = bytes("limits.feeds");
    log.feed_min_bytes = bytes("limits.feed_min");
    log.max_feeds = settings.need("limits.filters");
    log.filters_bytes = bytes("limits.filter_bytes");
}

/// Returns the limits of connections of HTTP clients.
pub(crate) fn http_limits(settings: &Settings) -> ListenerLimits {
    let duration = |key| settings.duration(key).expect("it has a default");
    let head = usize::try_from(settings.bytes("limits.http_head")).unwrap_or(usize::MAX);
    ListenerLimits::default()
        .connections(settings.need("limits.http_connections"))
        .head_timeout(duration("limits.http_head_timeout"))
        .idle_timeout(duration("limits.http_idle_timeout"))
        .stall_timeout(duration("limits.http_stall_timeout"))
        .streams(settings.need("limits.http_streams"))
        .head_bytes(head)
        .resets(settings.need("limits.http_resets"))
}

/// Returns the configuration of a server.
pub(crate) fn server_config(settings: &Settings) -> ServerConfig {
    let bytes = |key| usize::try_from(settings.bytes(key)).unwrap_or(usize::MAX);
    let duration = |key| settings.duration(key).expect("it has a default");
    let mut config = ServerConfig::default();
    if settings.is_set("limits.memory") {
        config.log.memory_bytes = Some(bytes("limits.memory"));
    }
    config.log.history_bytes = bytes("limits.history");
    config.log.history_events = settings.get("limits.history_events").unwrap_or(u64::MAX);
    config.log.history_age = settings.duration("limits.history_age");
    let rules = settings.value("limits.retain").texts.iter();
    let rules = rules.map(|text| retention(text).expect("it was checked"));
    config.log.retention = rules.collect();
    config.log.acknowledge = match settings.text("acknowledge") {
        "memory" => Acknowledge::Memory,
        "written" => Acknowledge::Written,
        _ => Acknowledge::Synced,
    };
    config.log.pending_bytes = bytes("limits.pending");
    config.log.dedup_window = duration("limits.dedup_window");
    config.log.dedup_keys = settings.need("limits.dedup_keys");
    config.log.dedup_publisher_window = duration("limits.dedup_publisher_window");
    config.log.dedup_publishers = settings.need("limits.dedup_publishers");
    config.store.max_bytes = Some(settings.bytes("limits.store"));
    config.store.max_events = settings.get("limits.store_events");
    config.store.max_age = settings.duration("limits.store_age");
    config.store.topics.clone_from(&config.log.retention);
    config.log.max_topics = settings.need("limits.topics");
    config.log.max_topics_per_owner = settings.need("limits.topics_per_publisher");
    limit_feeds(&mut config.log, settings);
    config.log.max_event_bytes = bytes("limits.event");
    config.transport.max_connections = settings.need("limits.connections");
    config.transport.max_handshakes = settings.need("limits.handshakes");
    config.transport.idle_timeout = duration("limits.idle_timeout");
    config.transport.send_window = settings.bytes("limits.send_window");
    config.transport.udp_buffer = bytes("limits.udp_buffer");
    config.transport.max_mtu = settings.need("limits.max_mtu");
    config.go_dialect = settings.on("go_dialect");
    config.shards = settings.need("shards");
    config.max_subscriptions = settings.need("limits.subscriptions");
    config.max_starts = settings.need("limits.starts");
    config.max_patterns = settings.need("limits.patterns");
    config.max_unread_bytes = bytes("limits.unread");
    config.max_connection_unread_bytes = bytes("limits.connection_unread");
    config.max_wildcards = settings.need("limits.wildcards");
    config.max_publishers = settings.need("limits.publishers");
    config.principal_limits = limits(settings, "principal");
    config.network_limits = limits(settings, "network");
    config.unfinished_bytes = bytes("limits.unfinished");
    config.frame_timeout = duration("limits.frame_timeout");
    config.refusal_rate = settings.need("limits.refusals");
    config.hello_timeout = duration("limits.hello_timeout");
    config.heartbeat = duration("limits.heartbeat");
    config.retry_after = duration("limits.retry_after");
    config.drain_timeout = duration("drain_timeout");
    config.max_topic_labels = settings.need("limits.topic_labels");
    config.namespace = settings.need("limits.metrics_namespace");
    config.subsystem = settings.need("limits.metrics_subsystem");
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    #[test]
    fn the_table_and_the_libraries_have_the_same_defaults() {
        let matches = args::command().get_matches_from(["qsse", "check-config"]);
        let (_, matches) = matches.subcommand().unwrap();
        let settings = super::super::load(matches, |_| None).unwrap();
        let mut server = ServerConfig::default().go_dialect(true);
        // A program that runs unattended must not fill the disk.
        server.store.max_bytes = Some(10 << 30);
        assert_eq!(server_config(&settings), server);
        assert_eq!(http_limits(&settings), ListenerLimits::default());
        let mut expected = ClientConfig::default();
        expected.agent = client_config(&settings).agent;
        expected.transport.keep_alive = Some(std::time::Duration::from_secs(10));
        assert_eq!(client_config(&settings), expected);
    }
}
