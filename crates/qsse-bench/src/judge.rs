//! The judge: starts servers and clients as processes, alternates the systems, and tells what it has seen.

mod calm;
mod chart;
mod compare;
mod connect;
mod fanout;
mod figures;
mod filters;
mod latency;
mod machine;
mod memory;
mod network;
mod process;
mod publish;
mod report;
mod rounds;
mod run;
mod server;
mod stats;
mod storm;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::args::{Args, Scenario};
use crate::tls;
use crate::work::Peer;

/// What all scenarios need.
struct Bench<'a> {
    args: &'a Args,
    /// The folder with the certificate, and with what peers write.
    folder: tempfile::TempDir,
}

/// Runs the scenarios that were asked for.
pub(crate) fn run(args: &Args) -> Result<()> {
    let loss_percent = args.greatest_loss();
    if args.ethernet || loss_percent > 0.0 {
        network::check(loss_percent)?;
    }
    let folder = tempfile::tempdir()?;
    tls::make(folder.path())?;
    let bench = Bench { args, folder };
    bench.say_what_is_missing();
    let machine = machine::describe();
    println!("{}", machine::line(&machine));
    let mut all = Map::from_iter([("machine".to_owned(), machine)]);
    for scenario in args.scenarios() {
        let rows = judge_of(scenario)(&bench)?;
        all.insert(scenario.name().to_owned(), rows.into());
        // What has been measured is kept, whatever happens next.
        bench.write(&all)?;
    }
    Ok(())
}

/// Measures a scenario with all systems, and gives its rows.
type Judge = fn(&Bench<'_>) -> Result<Vec<Value>>;

fn judge_of(scenario: Scenario) -> Judge {
    match scenario {
        Scenario::Fanout => fanout::run,
        Scenario::Latency => latency::run,
        Scenario::Connect => connect::run,
        Scenario::Memory => memory::run,
        Scenario::Publish => publish::run,
        Scenario::Filters => filters::run,
        Scenario::Calm => calm::run,
        Scenario::Storm => storm::run,
    }
}

impl Bench<'_> {
    /// The systems that take part, of these.
    fn peers(&self, able: &[Peer]) -> Vec<Peer> {
        let (args, able) = (self.args, able.iter().copied());
        able.filter(|peer| args.wants(*peer))
            .filter(|peer| match peer {
                Peer::Nats => args.nats_server.is_some(),
                Peer::GoQsse => args.go_peer.is_some(),
                _ => true,
            })
            .collect()
    }

    fn say_what_is_missing(&self) {
        if self.args.wants(Peer::Nats) && self.args.nats_server.is_none() {
            eprintln!("SKIPPED: nats, because no nats-server is given");
        }
        if self.args.wants(Peer::GoQsse) && self.args.go_peer.is_none() {
            eprintln!("SKIPPED: go-qsse, because no copy of the library is given");
        }
    }

    fn write(&self, all: &Map<String, Value>) -> Result<()> {
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
