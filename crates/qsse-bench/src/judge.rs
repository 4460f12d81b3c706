//! The judge: starts servers and clients as processes, alternates the systems, and tells what it
//! has seen.

mod bench;
mod calm;
mod chart;
mod compare;
mod connect;
mod cores;
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

use anyhow::Result;
use serde_json::{Map, Value};

use crate::args::{Args, Scenario};
use crate::tls;
use bench::Bench;

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
