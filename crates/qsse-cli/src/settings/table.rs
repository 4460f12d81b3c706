//! The table of all settings.

use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;

use qsse_auth::Algorithm;
use qsse_client::ServerUrl;
use qsse_client::tls::Fingerprint;
use qsse_server::TopicRetention;
use qsse_server::transport::ServerEndpoint;
use qsse_topic::Pattern;

use super::{Group, Setting, Shape};
use Group::{Access, Admin, Client, ClientDetail, Common, Limits, Serve};
use Shape::{Many, Negated, One, Secret, Switch};

macro_rules! table {
    ($($group:ident $key:literal $shape:expr, $default:literal, $check:expr, $help:literal;)+) => {
        /// All settings, in the order in which they are shown.
        pub(crate) const TABLE: &[Setting] = &[$(Setting {
            key: $key,
            group: $group,
            shape: $shape,
            default: $default,
            help: $help,
            check: $check,
        }),+];
    };
}

table! {
    Common "log_level" One("LEVEL"), "warn", level, "What to log on standard error: off, error, warn, info, debug, trace, or a filter such as qsse_server=debug";
    Common "log_format" One("FORMAT"), "text", |v| one_of(v, &["text", "json"]), "How to write the log: text or json";
    Common "color" One("WHEN"), "auto", |v| one_of(v, &["auto", "always", "never"]), "Colours: auto (on a terminal, unless NO_COLOR is set), always or never";

    Client "server" One("URL"), "127.0.0.1:4242", parses::<ServerUrl>, "The server: HOST, HOST:PORT or qsse://HOST[:PORT][?fingerprint=SHA256]";
    Client "token" Secret("TOKEN"), "", anything, "The token to present to the server (other users can see flags: prefer QSSE_TOKEN or a file)";
    Client "token_file" One("FILE"), "", anything, "Read the token from this file, again before each connect";
    Client "ca" One("FILE"), "", anything, "Trust the certificates in this PEM file, instead of the system's";
    Client "fingerprint" Many("SHA256"), "", parses::<Fingerprint>, "Trust the certificate with this SHA-256 fingerprint, colons optional; may be repeated";
    Client "insecure" Switch, "false", switch, "Trust any server: for tests only";
    Client "client_cert" One("FILE"), "", anything, "The certificate that identifies this client, with its issuers, in PEM form";
    Client "client_key" One("FILE"), "", anything, "The private key of --client-cert, in PEM form; by default it is in the same file";
    Client "dialect" One("DIALECT"), "auto", |v| one_of(v, &["auto", "qsse", "go", "webtransport"]), "The protocol: qsse, go (that of the Go library), webtransport (qsse as browsers use it), or auto, which prefers qsse";
    Client "connect_timeout" One("DURATION"), "5s", duration, "How long one attempt to connect may take";
    Client "retry" Switch, "false", switch, "Try again when the first connect fails";
    Client "reconnect" Negated("Do not reconnect when the connection is lost"), "true", switch, "Reconnect when the connection is lost";
    Client "timeout" One("DURATION"), "", duration, "Give up after this long in total";
    ClientDetail "client.retry_times" One("COUNT"), "5", parses::<u32>, "How often --retry tries again";
    ClientDetail "client.retry_interval" One("DURATION"), "5s", duration, "How long --retry waits between two attempts";
    ClientDetail "client.reconnect_first_delay" One("DURATION"), "100ms", duration, "Upper bound of the first random delay before connecting again; it doubles each time";
    ClientDetail "client.reconnect_max_delay" One("DURATION"), "10s", duration, "Upper bound of every delay before connecting again";
    ClientDetail "client.idle_timeout" One("DURATION"), "30s", duration, "Close the connection when the server is silent for this long; the shorter setting of both sides counts";
    ClientDetail "client.keep_alive" One("DURATION"), "10s", duration, "Send a keep-alive when the client has been silent for this long";

    Serve "listen" One("ADDR:PORT"), "127.0.0.1:4242", address, "Where to listen for QUIC; with port 0 the system picks a free port";
    Serve "topics" Many("TOPIC"), "", parses::<Pattern>, "The only topics that may be used: names, and patterns that admit names; by default any topic may be used";
    Serve "metrics" One("ADDR:PORT"), "", address, "Answer GET /metrics here, over plain HTTP";
    Serve "http" One("ADDR:PORT"), "", address, "Answer browsers and other HTTP clients here, over TCP and, with TLS, over UDP (HTTP/3): see http.md; on loopback with TLS or without, elsewhere with TLS";
    Serve "http_plain" Switch, "false", switch, "Serve --http without TLS, for a proxy that has it";
    Serve "http_tcp_only" Switch, "false", switch, "Serve --http without HTTP/3, which needs the UDP port of the same number";
    Serve "http_origins" Many("ORIGIN"), "", origin, "Let pages of these origins use --http, such as https://app.example.org; * lets any, without cookies";
    Serve "http_cookie" One("NAME"), "", anything, "Read the token of HTTP clients from this cookie, where there is no Authorization";
    Serve "http_query_token" Switch, "false", switch, "Also read the token of HTTP clients from ?token= (URLs end up in logs)";
    Admin "admin" One("PLACE"), "", admin, "Where the server is administered: the path of a Unix socket, IP:PORT of loopback, or default, which is $XDG_RUNTIME_DIR/qsse-admin.sock or else /run/qsse/admin.sock";
    Admin "admin_token_file" One("FILE"), "", anything, "The token that administration over a port asks for, in this file; at least 16 bytes";
    Serve "audit" One("FILE"), "", anything, "Append who did what, and whether it was allowed, to this file; one JSON object a line";
    Serve "cert" One("FILE"), "", anything, "The certificate and its issuers, in PEM form; without it the development certificate is made and used";
    Serve "key" One("FILE"), "", anything, "The certificate's private key, in PEM form";
    Access "tokens" One("FILE"), "", anything, "The permissions of each token and client certificate; a TOML file";
    Access "jwt_key" One("FILE"), "", anything, "Accept JWTs that this key has signed: a public key or certificate in PEM form, or a secret";
    Access "jwt_algorithm" One("NAME"), "", parses::<Algorithm>, "The algorithm of --jwt-key; by default RS256, ES256, ES384, EdDSA or HS256, as it fits the key";
    Access "jwt_jwks" One("FILE|URL"), "", anything, "Accept JWTs that a key of this JSON Web Key Set has signed";
    Access "jwt_issuer" Many("TEXT"), "", anything, "Accept only JWTs of this issuer (iss); may be repeated";
    Access "jwt_audience" Many("TEXT"), "", anything, "Accept only JWTs for this audience (aud); may be repeated";
    Access "jwt_claim" One("NAME"), "qsse", anything, "The claim of a JWT that has its permissions";
    Access "jwt_leeway" One("DURATION"), "30s", duration, "How far the clock of the JWT's issuer may be off";
    Access "jwt_refresh" One("DURATION"), "10m", duration, "After which time the JWKS is read again; an unknown key makes that at most every 10 s";
    Access "jwt_no_expiry" Switch, "false", switch, "Also accept JWTs that never expire";
    Access "mtls_ca" One("FILE"), "", anything, "Ask clients for certificates from the authorities in this PEM file; the tokens file says what they may do";
    Access "mtls_crl" One("FILE"), "", anything, "Refuse client certificates that this list of revoked ones names; a PEM file";
    Access "auth_callback" One("URL"), "", anything, "Ask this URL about each client that nothing else accepts";
    Access "auth_cache" One("DURATION"), "10s", duration, "How long an answer of the callback is remembered";
    Access "auth_ca" One("FILE"), "", anything, "Trust the authorities in this PEM file for the callback and the JWKS, instead of the system's";
    Access "open" Switch, "false", switch, "Let anyone who can reach this server publish and subscribe";
    Serve "store" One("DIR"), "", anything, "Store events in this directory, so that they survive restarts; without it they are in memory";
    Serve "acknowledge" One("WHEN"), "synced", |v| one_of(v, &["memory", "written", "synced"]), "When a publish to a store is acknowledged: in memory, written to the system, or synced to the disk";
    Serve "go_dialect" Negated("Do not serve clients of the Go library"), "true", switch, "Also serve clients of the Go library, on the same port";
    Serve "shards" One("COUNT"), "1", shards, "Threads that serve connections, each with a socket of its own; more than one needs Linux, and helps if one core is always busy";
    Serve "drain_timeout" One("DURATION"), "10s", duration, "How long clients may take to read the remaining events when the server ends";

    Limits "limits.memory" One("SIZE"), "", size, "Memory for everything that is counted (history, live tails, topics, events on their way, connections); by default four fifths of the machine's or control group's";
    Limits "limits.history" One("SIZE"), "256 MiB", size, "Memory for past events, from which clients that were away catch up";
    Limits "limits.history_events" One("COUNT"), "", parses::<u64>, "Maximum number of past events";
    Limits "limits.history_age" One("DURATION"), "", duration, "Maximum age of past events";
    Limits "limits.retain" Many("RULE"), "", |v| retention(v).map(drop), "What is retained of each topic of a pattern, such as 'position.* events=1' or 'ride.* age=1h bytes=1MiB'; the first rule that matches a topic applies";
    Limits "limits.store" One("SIZE"), "10 GiB", size, "Maximum size of all files of the store; the oldest events are removed first, an eighth of this at a time (64 KiB to 64 MiB)";
    Limits "limits.store_events" One("COUNT"), "", parses::<u64>, "Maximum number of events in the store";
    Limits "limits.store_age" One("DURATION"), "", duration, "Maximum age of events in the store";
    Limits "limits.pending" One("SIZE"), "8 MiB", size, "Events that wait to be stored; beyond that, publishers wait";
    Limits "limits.dedup_window" One("DURATION"), "2m", duration, "How long the key of a publish is remembered";
    Limits "limits.dedup_keys" One("COUNT"), "100000", parses::<usize>, "Maximum number of keys that are remembered";
    Limits "limits.dedup_publisher_window" One("DURATION"), "10m", duration, "How long the last number of an idle publisher is remembered";
    Limits "limits.dedup_publishers" One("COUNT"), "10000", parses::<usize>, "Maximum number of publishers whose last number is remembered";
    Limits "limits.topics" One("COUNT"), "1000000", parses::<usize>, "Maximum number of topics; those without retained events are forgotten first, then publishes to new ones are refused";
    Limits "limits.topics_per_publisher" One("COUNT"), "100000", parses::<usize>, "Maximum number of topics that one principal may add; clients without a token count by their address";
    Limits "limits.feed" One("SIZE"), "4 MiB", size, "Memory for the live tail of one set of patterns; subscribers that are further behind read the history";
    Limits "limits.feeds" One("SIZE"), "64 MiB", size, "Memory for all live tails together";
    Limits "limits.feed_min" One("SIZE"), "8 KiB", size, "The part of each live tail that others cannot take, however many there are";
    Limits "limits.filters" One("COUNT"), "32768", parses::<usize>, "Maximum number of distinct sets of patterns that clients subscribe to; those without readers are dropped first, then new ones are refused";
    Limits "limits.filter_bytes" One("SIZE"), "64 MiB", size, "Memory for all sets of patterns";
    Limits "limits.event" One("SIZE"), "1 MiB", size, "Maximum size of the data of one event";
    Limits "limits.connections" One("COUNT"), "10000", parses::<usize>, "Maximum number of connections";
    Limits "limits.handshakes" One("COUNT"), "100", parses::<usize>, "Concurrent handshakes; beyond that, clients must prove their address first";
    Limits "limits.subscriptions" One("COUNT"), "128", parses::<u32>, "Maximum number of subscriptions of one connection";
    Limits "limits.starts" One("COUNT"), "4", parses::<u32>, "Starts of one connection that are searched for at a time; further ones wait";
    Limits "limits.patterns" One("COUNT"), "8192", parses::<u32>, "Maximum number of patterns in all subscriptions of one connection";
    Limits "limits.unread" One("SIZE"), "64 MiB", size, "Memory for events that only subscribers hold who read nothing; beyond that, the slowest subscriptions are ended";
    Limits "limits.connection_unread" One("SIZE"), "12 MiB", size, "The same for the subscriptions of one connection, in which a large event counts as 64 KiB";
    Limits "limits.wildcards" One("COUNT"), "4", parses::<usize>, "Maximum number of wildcards in one pattern of a client";
    Limits "limits.publishers" One("COUNT"), "64", parses::<u32>, "Maximum number of publishing streams of one connection";
    Limits "limits.principal_connections" One("COUNT"), "", parses::<u32>, "Maximum number of connections of one principal, unless it has a limit of its own";
    Limits "limits.principal_subscriptions" One("COUNT"), "", parses::<u32>, "Maximum number of subscriptions of one principal, over all of its connections";
    Limits "limits.principal_patterns" One("COUNT"), "65536", parses::<u32>, "Maximum number of patterns in all subscriptions of one principal, or of all clients of one network that are not identified";
    Limits "limits.principal_publishes" One("COUNT"), "", parses::<u32>, "Publishes of one principal per second; faster ones wait";
    Limits "limits.principal_bytes" One("SIZE"), "", size, "Published data of one principal per second; faster publishers wait";
    Limits "limits.network_connections" One("COUNT"), "", parses::<u32>, "Maximum number of connections from one network: a /24 of IPv4, a /56 of IPv6";
    Limits "limits.network_subscriptions" One("COUNT"), "", parses::<u32>, "Maximum number of subscriptions from one network";
    Limits "limits.network_patterns" One("COUNT"), "", parses::<u32>, "Maximum number of patterns in all subscriptions from one network";
    Limits "limits.network_publishes" One("COUNT"), "", parses::<u32>, "Publishes from one network per second; faster ones wait";
    Limits "limits.network_bytes" One("SIZE"), "", size, "Published data from one network per second; faster publishers wait";
    Limits "limits.unfinished" One("SIZE"), "64 MiB", size, "Memory for publishes over 64 KiB that have begun to arrive; further ones wait";
    Limits "limits.frame_timeout" One("DURATION"), "30s", duration, "How long a publish may take to arrive once it has begun";
    Limits "limits.refusals" One("COUNT"), "50", parses::<u32>, "Refused publishes of one connection per second, after 128 in one burst; a client with more waits for its answers";
    Limits "limits.hello_timeout" One("DURATION"), "5s", duration, "How long a new connection may take to send its Hello";
    Limits "limits.idle_timeout" One("DURATION"), "30s", duration, "Close a connection when its client is silent for this long; the shorter setting of both sides counts";
    Limits "limits.heartbeat" One("DURATION"), "10s", duration, "How often a subscription without events gets its position";
    Limits "limits.send_window" One("SIZE"), "256 KiB", size, "Events on their way to one client that it has not acknowledged";
    Limits "limits.http_connections" One("COUNT"), "10000", parses::<usize>, "Maximum number of connections to --http; beyond that, those without a request make room";
    Limits "limits.http_head_timeout" One("DURATION"), "5s", duration, "How long an HTTP client may take for its TLS handshake, and again for the head of its first request";
    Limits "limits.http_idle_timeout" One("DURATION"), "1m", duration, "Close an HTTP connection that has had no request for this long";
    Limits "limits.http_stall_timeout" One("DURATION"), "2m", duration, "Close an HTTP connection whose client has taken nothing of an answer for this long";
    Limits "limits.http_streams" One("COUNT"), "100", parses::<u32>, "Requests of one HTTP/2 connection at a time; further ones wait";
    Limits "limits.http_head" One("SIZE"), "16 KiB", size, "Maximum size of the head of an HTTP request; at least 8 KiB";
    Limits "limits.http_resets" One("COUNT"), "128", parses::<u32>, "Requests that a client of HTTP/2 may give up in a second; one more ends its connection";
    Limits "limits.udp_buffer" One("SIZE"), "4 MiB", size, "Size of the socket buffers to request from the system, in each direction";
    Limits "limits.max_mtu" One("BYTES"), "4000", parses::<u16>, "Maximum payload of a packet where the route to a client allows it; elsewhere at most 1452";
    Limits "limits.retry_after" One("DURATION"), "1s", duration, "How long clients are asked to wait before they reconnect when the server ends";
    Limits "limits.topic_labels" One("COUNT"), "100", parses::<usize>, "Maximum number of distinct topics in the metrics when any topic may be used";
    Limits "limits.metrics_namespace" One("NAME"), "qsse", metric_name, "First part of the name of every metric";
    Limits "limits.metrics_subsystem" One("NAME"), "qsse", metric_name, "Second part of the name of every metric";
}

fn anything(_: &str) -> Result<(), String> {
    Ok(())
}

fn parses<T: FromStr<Err: Display>>(text: &str) -> Result<(), String> {
    match text.parse::<T>() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{text:?}: {error}")),
    }
}

fn shards(text: &str) -> Result<(), String> {
    let limit = ServerEndpoint::MAX_SHARDS;
    match text.parse::<usize>() {
        Ok(count) if (1..=limit).contains(&count) => Ok(()),
        _ => Err(format!("{text:?} is no number from 1 to {limit}")),
    }
}

/// An origin of pages, as browsers send it.
fn origin(text: &str) -> Result<(), String> {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let is_one = host.is_some_and(|host| {
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'/')
    });
    match is_one || text == "*" {
        true => Ok(()),
        false => Err("write it as https://app.example.org, without a path, or *".into()),
    }
}

fn address(text: &str) -> Result<(), String> {
    match text.parse::<SocketAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "{text:?} is not an address to listen on: write IP:PORT, as in 127.0.0.1:4242, 0.0.0.0:4242 or [::]:4242"
        )),
    }
}

fn admin(text: &str) -> Result<(), String> {
    match text.parse::<qsse_admin::Address>() {
        Err(error) if text != "default" => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn duration(text: &str) -> Result<(), String> {
    match humantime::parse_duration(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "{text:?} is not a duration: write a number and a unit, as in 500ms, 5s or 2m"
        )),
    }
}

fn size(text: &str) -> Result<(), String> {
    match text.parse::<bytesize::ByteSize>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "{text:?} is not a size: write a number and a unit, as in 64KiB or 4 MiB"
        )),
    }
}

fn switch(text: &str) -> Result<(), String> {
    one_of(text, &["true", "false"])
}

fn one_of(text: &str, all: &[&str]) -> Result<(), String> {
    if all.contains(&text) {
        return Ok(());
    }
    Err(format!("{text:?} is not one of {}", all.join(", ")))
}

fn level(text: &str) -> Result<(), String> {
    let known = ["off", "error", "warn", "info", "debug", "trace"];
    let plain = text.chars().all(char::is_alphabetic);
    match text.parse::<tracing_subscriber::EnvFilter>() {
        Ok(_) if !plain || known.contains(&text) => Ok(()),
        _ => Err(format!(
            "{text:?} is not a level: write {} or a filter such as qsse_server=debug",
            known.join(", ")
        )),
    }
}

/// Parses a rule: a pattern, and what each of its topics may retain.
pub(super) fn retention(text: &str) -> Result<TopicRetention, String> {
    let mut words = text.split_whitespace();
    let pattern = words.next().unwrap_or_default();
    let pattern = Pattern::new(pattern).map_err(|error| format!("{pattern:?}: {error}"))?;
    let mut rule = TopicRetention::of(pattern);
    let mut bounds = 0;
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let wrong = |error: String| format!("{key}={value}: {error}");
        match key {
            "events" => {
                let events = value.parse().map_err(|_| wrong("not a number".into()))?;
                rule = rule.max_events(events);
            }
            "bytes" => {
                size(value).map_err(wrong)?;
                let bytes = value.parse::<bytesize::ByteSize>().map_err(wrong)?;
                rule = rule.max_bytes(usize::try_from(bytes.as_u64()).unwrap_or(usize::MAX));
            }
            "age" => {
                let age = humantime::parse_duration(value);
                rule = rule.max_age(age.map_err(|error| wrong(error.to_string()))?);
            }
            _ => {
                return Err(format!(
                    "{word:?}: write events=COUNT, bytes=SIZE or age=DURATION"
                ));
            }
        }
        bounds += 1;
    }
    if bounds == 0 {
        return Err(format!(
            "{text:?} has no limit: add events=COUNT, bytes=SIZE or age=DURATION"
        ));
    }
    Ok(rule)
}

fn metric_name(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.chars().all(fits) && text.starts_with(|c: char| !c.is_ascii_digit()) {
        return Ok(());
    }
    Err(format!(
        "{text:?} cannot be part of a metric's name: use letters, digits and _"
    ))
}
