//! Configurations in TOML, as programs that embed the libraries read them.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a text as each configuration and checks it. What is accepted survives being written.
pub(super) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(config) = survives::<qsse_server::Config>(&text) {
        let _ = config.check();
    }
    if let Some(config) = survives::<qsse_client::Config>(&text) {
        let _ = config.check();
    }
    if let Some(config) = survives::<qsse_transport::TransportConfig>(&text) {
        let _ = config.check();
    }
}

fn survives<T: Serialize + DeserializeOwned + PartialEq + Debug>(text: &str) -> Option<T> {
    let config: T = toml::from_str(text).ok()?;
    // TOML has no numbers above those of i64: such a configuration cannot be written.
    if let Ok(written) = toml::to_string(&config) {
        let again: T = toml::from_str(&written).expect("it was written");
        assert_eq!(again, config, "{written}");
    }
    Some(config)
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let written = [
        toml::to_string(&qsse_server::Config::default()),
        toml::to_string(&qsse_client::Config::default()),
        toml::to_string(&qsse_transport::TransportConfig::server()),
        toml::to_string(&qsse_transport::TransportConfig::client()),
    ];
    let mut seeds: Vec<_> = written
        .into_iter()
        .filter_map(Result::ok)
        .map(String::into_bytes)
        .collect();
    seeds.push(b"idle_timeout = \"1m 3s\"\nmax_mtu = 1500\n".to_vec());
    seeds
}
