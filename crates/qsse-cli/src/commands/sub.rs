//! `qsse sub`: prints events.

use std::io;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};
use qsse_client::{Client, Dialect, Filter, Outcome, Pattern, Start, Subscription};
use tracing::Level;

use super::{Stop, Stopped, never_connected};
use crate::connect::{connect, lacking_in_go};
use crate::console;
use crate::exit::{Status, fail, usage};
use crate::output::Format;
use crate::settings::Settings;
use crate::text;

mod cursor;
mod printing;
mod start;

use cursor::CursorFile;
use printing::Printing;
use start::{Lag, StartFlags};

/// Print the events of topics and patterns as they come
#[derive(Args)]
#[command(after_help = "\
Examples:
  qsse sub 'ride.*'                     everything below ride
  qsse sub people 'ride.*.start'        a topic and a pattern
  qsse sub --json --count 10 '*' | jq .data
  qsse sub --raw --earliest ride.7 > rides.txt
  qsse sub --last 1 'price.*'           the latest of each topic, then all that follow
  qsse sub --since 10m 'ride.*'         what was published in the last ten minutes, then all that follow
  qsse sub --json --cursor rides.at 'ride.*' >> rides.json      goes on where the last run stopped

A * in the middle stands for one segment, at the end for one or more. Quote patterns: a shell would take the * for file names.")]
pub(crate) struct Options {
    /// Topics or patterns; an event that several match comes once
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<Pattern>,
    /// End after this many events
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print one JSON object a line
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Print the data and a newline
    #[arg(long)]
    raw: bool,
    /// Print each event's id too
    #[arg(long, conflicts_with_all = ["json", "raw"])]
    ids: bool,
    /// With --raw, a NUL instead of the newline
    #[arg(short = '0', long = "null", requires = "raw")]
    null: bool,
    #[command(flatten)]
    start: StartFlags,
    /// Go on where the last run with this file stopped, and keep the position in it; the other flags for the beginning count while it is absent
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    cursor: Option<PathBuf>,
    /// What happens when the output is read too slowly
    #[arg(long, value_name = "POLICY", value_enum, default_value_t)]
    on_lag: Lag,
    /// End with status 9 when events were missed
    #[arg(long)]
    fail_on_gap: bool,
}

/// Why it ended.
enum End {
    Count,
    Stopped(Stopped),
    /// Nobody reads the output.
    Pipe,
    Error(anyhow::Error),
}

pub(crate) async fn run(options: Options, settings: &Settings) -> Result<Status> {
    let start = options.start.start();
    if start != Start::Live {
        let flags = "--earliest, --after, --since and --last";
        lacking_in_go(settings, &format!("past events: leave out {flags}"))?;
    }
    if options.on_lag != Lag::default() {
        lacking_in_go(settings, "choice of what happens: leave out --on-lag")?;
    }
    if options.cursor.is_some() {
        lacking_in_go(settings, "positions: leave out --cursor")?;
    }
    let kept = options.cursor.as_deref().map(CursorFile::open);
    let mut kept = kept.transpose()?;
    let saved = kept.as_ref().and_then(CursorFile::saved);
    let start = saved.map_or(start, Start::from);
    let stop = Stop::watch(settings)?;
    let mut received = 0;
    let subscribed = tokio::select! {
        biased;
        why = stop.wait() => Err(End::Stopped(why)),
        client = connect(settings)? => Ok(client?),
    };
    let subscribed = match subscribed {
        Err(End::Stopped(Stopped::Timeout)) => Err(End::Error(never_connected(settings))),
        Err(end) => Err(end),
        Ok(client) => tokio::select! {
            biased;
            why = stop.wait() => Err(match why {
                Stopped::Timeout => End::Error(not_confirmed(settings)),
                Stopped::Signal => End::Stopped(why),
            }),
            subscribed = subscribe(client, &options, settings, start) => subscribed.map_err(End::Error),
        },
    };
    let end = match subscribed {
        Ok((client, subscription)) => {
            let printing = Printing::new(&options, &stop, subscription, kept.as_mut());
            let end;
            (end, received) = printing.run(&client, settings).await;
            end
        }
        Err(end) => end,
    };
    let so_far = || {
        let got = text::counted(received, "event");
        options.count.map_or_else(
            || got.clone(),
            |count| format!("{got} of {}", text::thousands(count)),
        )
    };
    match end {
        End::Count | End::Pipe => Ok(Status::Done),
        End::Stopped(Stopped::Signal) if options.count.is_none() => Ok(Status::Done),
        End::Stopped(Stopped::Signal) => {
            let so_far = so_far();
            console::message(Level::INFO, format_args!("interrupted after {so_far}"));
            Ok(Status::Interrupted)
        }
        End::Stopped(Stopped::Timeout) => Err(fail(
            Status::Unreachable,
            format!("time is up after {}", so_far()),
        )),
        End::Error(error) => Err(error),
    }
}

impl Options {
    fn format(&self, settings: &Settings) -> Format {
        if self.json {
            Format::Json
        } else if self.raw {
            Format::Raw(if self.null { 0 } else { b'\n' })
        } else {
            Format::Text {
                colours: text::coloured(settings, &io::stdout()),
                ids: self.ids,
            }
        }
    }
}

fn not_confirmed(settings: &Settings) -> anyhow::Error {
    let server = settings.text("server");
    fail(
        Status::Unreachable,
        format!("time is up: {server} has not answered whether it takes the subscription"),
    )
}

/// Subscribes, and says how that began.
async fn subscribe(
    client: Client,
    options: &Options,
    settings: &Settings,
    start: Start,
) -> Result<(Client, Subscription)> {
    let filter = Filter::new(options.patterns.iter().cloned())?;
    if options.cursor.is_some() && client.dialect() == Dialect::Go {
        return Err(usage(
            "--cursor: the server speaks the Go library's protocol, which has no positions",
        ));
    }
    let subscribe = client.subscribe(&filter).start(start);
    let mut subscription = subscribe.on_lag(options.on_lag.into()).await?;
    let outcome = subscription.outcome().await;
    let at = subscription.cursor();
    let from = match start {
        Start::After(_) => "resumed",
        _ => "beginning",
    };
    let began = match (client.dialect(), outcome) {
        (Dialect::Go, _) => ", as far as the Go library's protocol tells".into(),
        (_, Some(Outcome::Live)) => ", live".into(),
        (_, Some(Outcome::Resumed)) => format!(", {from} after {at}"),
        (_, Some(Outcome::Gap)) => format!(", {from} after {at} with a gap"),
        (_, Some(Outcome::Reset)) => format!(", reset: {at} is not of the server's log"),
        _ => String::new(),
    };
    console::tell(format_args!(
        "subscribed to {} at {}{began}",
        subscription.filter(),
        settings.text("server")
    ));
    Ok((client, subscription))
}
