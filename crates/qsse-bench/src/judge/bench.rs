//! [`Bench`]: what all scenarios need.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::chart;
use crate::args::Args;
use crate::work::Peer;

/// What all scenarios need.
pub(super) struct Bench<'a> {
    pub(super) args: &'a Args,
    /// The folder with the certificate, and with what peers write.
    pub(super) folder: tempfile::TempDir,
}

impl Bench<'_> {
    /// The systems that take part, of these.
    pub(super) fn peers(&self, able: &[Peer]) -> Vec<Peer> {
        let (args, able) = (self.args, able.iter().copied());
        able.filter(|peer| args.wants(*peer))
            .filter(|peer| match peer {
                Peer::Nats => args.nats_server.is_some(),
                Peer::GoQsse => args.go_peer.is_some(),
                _ => true,
            })
            .collect()
    }

    /// Says which systems are left out because their programs are not there.
    pub(super) fn say_what_is_missing(&self) {
        if self.args.wants(Peer::Nats) && self.args.nats_server.is_none() {
            eprintln!("SKIPPED: nats, because no nats-server is given");
        }
        if self.args.wants(Peer::GoQsse) && self.args.go_peer.is_none() {
            eprintln!("SKIPPED: go-qsse, because no copy of the library is given");
        }
    }

    /// Writes the figures so far, and the picture.
    pub(super) fn write(&self, all: &Map<String, Value>) -> Result<()> {
        if let Some(path) = &self.args.json {
            let text = serde_json::to_string_pretty(all)?;
            std::fs::write(path, text + "\n")
                .with_context(|| format!("writing {}", path.display()))?;
        }
        if let Some(path) = &self.args.svg {
            let rows = all.get("fanout").cloned().unwrap_or(json!([]));
            let picture = chart::fanout(rows.as_array().map_or(&[], Vec::as_slice));
            std::fs::write(path, picture).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }
}
