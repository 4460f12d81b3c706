//! Every setting of server and client with extreme values: it is refused by its name, or everything
//! works.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use qsse_client::{Client, Config as ClientConfig};
use qsse_log::TopicRetention;
use qsse_server::transport::TransportConfig;
use qsse_server::{Action, Authorizer, Config as ServerConfig, Principal, Scope, Server};
use qsse_topic::PatternRef;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How long a server may take for all of it. Only what hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Scenarios at a time.
const AT_ONCE: usize = 8;

struct Open;

#[async_trait::async_trait]
impl Authorizer for Open {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, _: PatternRef<'_>) -> bool {
        true
    }
}

/// Paths to everything in a configuration that is a number, a duration, or not set.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(parts) => {
            for (name, part) in parts {
                leaves(part, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(parts) => {
            for (number, part) in parts.iter().enumerate() {
                leaves(part, &format!("{path}/{number}"), found);
            }
        }
        Value::Bool(_) => {}
        _ => found.push(path.to_owned()),
    }
}

/// Values of numbers and of durations.
fn extremes() -> Vec<Value> {
    vec![
        json!(0),
        json!(1),
        json!(1_000_000_000),
        json!(u16::MAX),
        json!(u32::MAX),
        json!(u64::MAX),
        json!("0s"),
        json!("1ns"),
        json!("1000000000s"),
        json!("18446744073709551615s"),
    ]
}

/// The configuration with every leaf at every extreme that it can be read with: which one that is,
/// and what came of it.
fn every<T: Serialize + DeserializeOwned>(base: &T) -> Vec<(String, T)> {
    let whole = serde_json::to_value(base).unwrap();
    let mut paths = Vec::new();
    leaves(&whole, "", &mut paths);
    let mut all = Vec::new();
    for path in paths {
        let before = all.len();
        for extreme in extremes() {
            let mut changed = whole.clone();
            *changed.pointer_mut(&path).unwrap() = extreme.clone();
            let text = whole.pointer(&path).unwrap();
            // Of the texts, only durations have extremes.
            let is_duration = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
            let is_word = text.as_str().is_some_and(|text| !is_duration(text));
            if let Ok(config) = serde_json::from_value(changed)
                && !is_word
            {
                all.push((format!("{path} = {extreme}"), config));
            }
        }
        let is_word = whole.pointer(&path).is_some_and(Value::is_string);
        assert!(all.len() > before || is_word, "{path} has no extremes");
    }
    all
}

/// The setting's own name, which a refusal has to have.
fn name(what: &str) -> &str {
    let path = what.split(' ').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// Starts, connects, subscribes, publishes and receives.
async fn works(server: ServerConfig, client: ClientConfig, store: bool) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let mut builder = Server::bind("127.0.0.1:0").config(server).authorizer(Open);
    if store {
        builder = builder.store(folder.path());
    }
    let server = builder.await.map_err(|error| error.to_string())?;
    let client = Client::connect(server.url())
        .config(client)
        .await
        .map_err(|error| error.to_string())?;
    let mut events = client.subscribe("t").await.map_err(|e| e.to_string())?;
    client.publish("t", "x").await.map_err(|e| e.to_string())?;
    let publisher = client.publisher();
    publisher.send("t", "y").await.map_err(|e| e.to_string())?;
    publisher.flush().await.map_err(|e| e.to_string())?;
    for expected in ["x", "y"] {
        let event = events.try_next().await.map_err(|e| e.to_string())?;
        let event = event.ok_or("the subscription ended")?;
        assert_eq!(event.text().ok(), Some(expected));
    }
    client.shutdown(Duration::from_secs(10)).await;
    server.shutdown(Duration::from_secs(10)).await;
    Ok(())
}

/// Runs them all; what neither works nor is refused by name.
async fn judge(all: Vec<(String, ServerConfig, ClientConfig)>) -> Vec<String> {
    let count = all.len();
    let scenarios = all.into_iter().map(|(what, server, client)| async move {
        // What is kept needs somewhere to be kept.
        let store = ["/store", "/log"].iter().any(|part| what.starts_with(part));
        let running = tokio::spawn(works(server, client, store));
        match tokio::time::timeout(PATIENCE, running).await {
            Err(_) => Some(format!("{what}: hangs")),
            Ok(Err(panic)) => Some(format!("{what}: {panic}")),
            Ok(Ok(Err(error))) if !error.contains(name(&what)) => Some(format!("{what}: {error}")),
            Ok(Ok(_)) => None,
        }
    });
    let wrong = stream::iter(scenarios).buffer_unordered(AT_ONCE);
    let wrong: Vec<_> = wrong.filter_map(std::future::ready).collect().await;
    println!("{} of {count} are wrong", wrong.len());
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_setting_of_a_server_works_or_is_refused_by_name() {
    let rule = TopicRetention::of("other".parse().unwrap())
        .max_events(5)
        .max_bytes(1_000)
        .max_age(Duration::from_secs(5));
    let mut base = ServerConfig::default();
    base.log = base.log.retain(rule.clone());
    base.store.topics.push(rule);
    let all = every(&base).into_iter();
    let all = all.filter(|(what, _)| cfg!(target_os = "linux") || !what.starts_with("/shards"));
    let all = all.map(|(what, server)| (what, server, ClientConfig::default()));
    let wrong = judge(all.collect()).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_setting_of_a_client_works_or_is_refused_by_name() {
    let base = ClientConfig::default().transport(TransportConfig::client());
    let all = every(&base).into_iter();
    let all = all.map(|(what, client)| (what, ServerConfig::default(), client));
    let wrong = judge(all.collect()).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Lets everybody in for as long as a duration can be.
struct ForEver;

#[async_trait::async_trait]
impl qsse_server::Authenticator for ForEver {
    async fn authenticate(
        &self,
        _: qsse_server::Credentials<'_>,
    ) -> Result<Principal, qsse_server::Denied> {
        Ok(Principal::new("one").valid_for(Duration::MAX))
    }
}

#[tokio::test]
async fn a_principal_may_be_valid_as_long_as_a_duration_can_be() {
    let server = Server::bind("127.0.0.1:0").authenticator(ForEver);
    let server = Arc::new(server.await.unwrap());
    let client = Client::connect(server.url()).await.unwrap();
    let mut events = client.subscribe("t").await.unwrap();
    server.publish("t", "x").await.unwrap();
    let event = tokio::time::timeout(PATIENCE, events.try_next()).await;
    assert_eq!(event.unwrap().unwrap().unwrap().text().ok(), Some("x"));
}
