//! `qsse bench`: puts load on a server and measures the result.

use std::sync::Arc;

use anyhow::Result;

use crate::connect::lacking_in_go;
use crate::console;
use crate::exit::{Status, fail};
use crate::settings::Settings;
use crate::stop::{Stop, Stopped, never_connected, print_result};
use crate::text::counted;

mod clock;
mod connections;
mod figures;
mod measure;
mod options;
mod pace;
mod payload;
mod plan;
mod publishing;
mod receiving;
mod report;
mod sequence;

use connections::Connections;
use measure::{End, measure};
pub(crate) use options::Options;
use plan::Plan;

pub(crate) async fn run(options: Options, settings: &Settings) -> Result<Status> {
    let plan = Arc::new(Plan::new(&options)?);
    if plan.publishers > 0 {
        lacking_in_go(settings, "publishing: use --subscribe-only")?;
    }
    let stop = Stop::watch(settings)?;
    let connections = tokio::select! {
        biased;
        why = stop.wait() => return match why {
            Stopped::Signal => Ok(Status::Interrupted),
            Stopped::Timeout => Err(never_connected(settings)),
        },
        opened = Connections::open(&plan, options.per_connection as usize, settings) => opened?,
    };
    console::tell(format_args!(
        "{} and {} on {}, for {} and {} before that",
        counted(plan.filters.len() as u64, "subscriber"),
        counted(plan.publishers as u64, "publisher"),
        counted(connections.len() as u64, "connection"),
        options.duration,
        options.warmup,
    ));
    let (report, end) = measure(&options, plan, connections, &stop).await?;
    let shown = match options.json {
        true => serde_json::to_string(&report)?,
        false => report.text(),
    };
    let printed = print_result(shown, &stop).await;
    match end {
        End::Failed(error) => Err(error),
        _ if let Err(error) = printed => Err(error),
        End::Stopped(Stopped::Timeout) => Err(fail(
            Status::Unreachable,
            "time is up before it was measured",
        )),
        _ if report.unacknowledged() > 0 => Ok(Status::Unacknowledged),
        _ if options.fail_on_gap && !report.is_whole() => Ok(Status::Gap),
        _ => Ok(Status::Done),
    }
}
